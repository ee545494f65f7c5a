package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// tlsConnecting is how many TLS clients connect at once.
const tlsConnecting = 32

// tlsDriver is a driver of clients with TLS: a goroutine and a connection for each.
type tlsDriver struct {
	swarm *swarm
	slots chan struct{}
	wg    sync.WaitGroup

	mu     sync.Mutex
	conns  []net.Conn
	closed bool
}

func newTLSDriver(s *swarm) *tlsDriver {
	return &tlsDriver{swarm: s, slots: make(chan struct{}, tlsConnecting)}
}

func (d *tlsDriver) connect(clients []*client) error {
	d.wg.Go(func() {
		for _, c := range clients {
			d.slots <- struct{}{}
			d.wg.Go(func() { d.serve(c) })
		}
	})
	return nil
}

func (d *tlsDriver) close() {
	d.mu.Lock()
	d.closed = true
	for _, conn := range d.conns {
		conn.Close()
	}
	d.mu.Unlock()
	d.wg.Wait()
}

func (d *tlsDriver) freeze([]*client) error { return errors.ErrUnsupported }
func (d *tlsDriver) thaw([]*client) error   { return errors.ErrUnsupported }

// serve is one client's life.
func (d *tlsDriver) serve(c *client) {
	up := false
	err := d.read(c, func() {
		if !up && c.state != inHead {
			up = true
			d.swarm.up()
			<-d.slots
		}
	})
	c.leave()
	if !up {
		d.swarm.failed(err)
		<-d.slots
	}
}

// read connects and reads until the stream ends. It calls progress whenever something has come.
func (d *tlsDriver) read(c *client, progress func()) error {
	source := net.IPv4(127, 0, 0, byte(1+c.user/perSource))
	plain, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: source}}).Dial("tcp", d.swarm.target.address)
	if err != nil {
		return err
	}
	_ = plain.(*net.TCPConn).SetLinger(0) // no port is to be kept from the next row by TIME_WAIT
	defer plain.Close()
	d.mu.Lock()
	closed := d.closed
	d.conns = append(d.conns, plain)
	d.mu.Unlock()
	if closed {
		return net.ErrClosed
	}
	conn := tls.Client(plain, d.swarm.target.tls)
	if err := conn.Handshake(); err != nil {
		return err
	}
	if conn.ConnectionState().NegotiatedProtocol == "h2" {
		return d.readH2(c, conn, progress)
	}
	if _, err := conn.Write(d.swarm.target.request(c.user, d.swarm.lastEventID)); err != nil {
		return err
	}
	buf := make([]byte, 8<<10)
	for c.state != ended {
		n, err := conn.Read(buf)
		if err == nil {
			err = c.take(buf[:n])
		}
		progress()
		if err != nil {
			return err
		}
	}
	return io.EOF
}

// readH2 is a client of HTTP/2 with one stream, no more than it needs: windows that never fill, and answers to what must be answered.
func (d *tlsDriver) readH2(c *client, conn net.Conn, progress func()) error {
	t := d.swarm.target
	var out bytes.Buffer
	framer := http2.NewFramer(&out, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	framer.SetReuseFrames()

	out.WriteString(http2.ClientPreface)
	var block bytes.Buffer
	fields := hpack.NewEncoder(&block)
	for _, f := range [][2]string{
		{":method", "GET"}, {":scheme", "https"}, {":authority", t.host}, {":path", t.path(c.user)}, {"accept", "text/event-stream"},
		{"last-event-id", d.swarm.lastEventID},
	} {
		if f[1] == "" {
			continue
		}
		if err := fields.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			return err
		}
	}
	const window = math.MaxInt32
	err := errors.Join(
		framer.WriteSettings(http2.Setting{ID: http2.SettingEnablePush, Val: 0}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: window}),
		framer.WriteWindowUpdate(0, window-65_535),
		framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true}),
	)
	for err == nil {
		if out.Len() > 0 {
			if _, err := out.WriteTo(conn); err != nil {
				return err
			}
		}
		var frame http2.Frame
		if frame, err = framer.ReadFrame(); err != nil {
			break
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				err = framer.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				err = framer.WritePing(true, f.Data)
			}
		case *http2.MetaHeadersFrame:
			if status := f.PseudoValue("status"); status != "200" {
				return fmt.Errorf("status %s", status)
			}
			c.state = inBody
		case *http2.DataFrame:
			if len(f.Data()) > 0 {
				err = c.take(f.Data())
			}
			if f.StreamEnded() {
				c.state = ended
			}
		case *http2.RSTStreamFrame:
			err = fmt.Errorf("stream reset: %v", f.ErrCode)
		case *http2.GoAwayFrame:
			err = fmt.Errorf("server going away: %v", f.ErrCode)
		}
		progress()
		if c.state == ended {
			return io.EOF
		}
	}
	return err
}
