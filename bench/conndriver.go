package main

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// connsConnecting is how many clients of a connDriver connect at once.
const connsConnecting = 32

// connDriver is a driver of clients with TLS or QUIC: a goroutine and a connection for each, but for those that share one.
type connDriver struct {
	swarm *swarm
	ctx   context.Context // ends with the driver
	end   context.CancelFunc
	gate  gate // of slow clients
	slots chan struct{}
	wg    sync.WaitGroup

	mu     sync.Mutex // guards shared
	shared []*h2Conn  // those that take further streams
}

func newConnDriver(s *swarm) *connDriver {
	d := &connDriver{swarm: s, slots: make(chan struct{}, connsConnecting)}
	d.ctx, d.end = context.WithCancel(context.Background())
	return d
}

func (d *connDriver) connect(clients []*client) error {
	d.wg.Go(func() {
		for i, c := range clients {
			d.slots <- struct{}{}
			a := &attempt{client: c, driver: d}
			if d.swarm.further {
				d.mu.Lock()
				conn := d.shared[i%len(d.shared)]
				d.mu.Unlock()
				if err := conn.subscribe(d.swarm, a); err != nil {
					a.end(err)
				}
				continue
			}
			d.wg.Go(func() {
				if err := d.serve(a); err != nil {
					a.end(err)
				}
			})
		}
	})
	return nil
}

func (d *connDriver) close() {
	d.gate.open()
	d.end()
	d.wg.Wait()
}

func (d *connDriver) freeze([]*client) error {
	d.gate.shut()
	return nil
}

func (d *connDriver) thaw([]*client) error {
	d.gate.open()
	return nil
}

// gateOf returns the gate of a slow client, nil for others.
func (d *connDriver) gateOf(c *client) *gate {
	if c.tally == &d.swarm.slow {
		return &d.gate
	}
	return nil
}

// serve connects a client, and reads until its connection ends.
func (d *connDriver) serve(a *attempt) error {
	t := d.swarm.target
	if t.protocol == h3 {
		return d.serveH3(a)
	}
	conn, err := t.dial(d.ctx, a.user, d.gateOf(a.client), d.swarm.smallBuffer)
	if err != nil {
		return err
	}
	defer context.AfterFunc(d.ctx, func() { conn.NetConn().Close() })()
	defer conn.NetConn().Close() // without the alert of TLS, which may have to wait
	if t.protocol.alpn() != "h2" {
		return d.readH1(a, conn)
	}
	shared := newH2Conn(conn, t.protocol.windows())
	d.mu.Lock()
	d.shared = append(d.shared, shared)
	d.mu.Unlock()
	if err := shared.subscribe(d.swarm, a); err != nil {
		return err
	}
	shared.serve()
	return nil
}

func (d *connDriver) readH1(a *attempt, conn *tls.Conn) error {
	if _, err := conn.Write(d.swarm.target.request(a.user, d.swarm.lastEventID)); err != nil {
		return err
	}
	buf := make([]byte, 8<<10)
	for a.state != ended {
		n, err := conn.Read(buf)
		if err == nil {
			err = a.take(buf[:n])
		}
		a.progress()
		if err != nil {
			return err
		}
	}
	return io.EOF
}

// dial connects with TLS. A client that has a gate is slow, and may have a small receive buffer.
func (t *target) dial(ctx context.Context, client int, slow *gate, buffer int) (*tls.Conn, error) {
	source := t.source(client)
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: source[:]}}
	if slow != nil && buffer > 0 {
		dialer.Control = func(_, _ string, raw syscall.RawConn) (err error) {
			if failed := raw.Control(func(fd uintptr) { err = shrink(int(fd), buffer) }); failed != nil {
				return failed
			}
			return err
		}
	}
	plain, err := dialer.DialContext(ctx, "tcp", t.address)
	if err != nil {
		return nil, err
	}
	_ = plain.(*net.TCPConn).SetLinger(0) // no port is to be kept from the next row by TIME_WAIT
	if slow != nil {
		plain = gatedConn{plain, slow}
	}
	conn := tls.Client(plain, t.tls)
	if err := conn.HandshakeContext(ctx); err != nil {
		plain.Close()
		return nil, err
	}
	return conn, nil
}

// shrink gives a socket a small receive buffer, and the segments of the internet: with those of loopback, the kernel would keep
// megabytes for the server before it is full.
func shrink(fd, buffer int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer); err != nil {
		return err
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_MAXSEG, internetSegment)
}

// attempt is a client that takes one of the driver's slots until it has its response's head, or has failed. One goroutine calls it.
type attempt struct {
	*client
	driver *connDriver
	done   bool
}

// progress gives the slot back once the head is there.
func (a *attempt) progress() {
	if !a.done && a.state != inHead {
		a.done = true
		a.driver.swarm.up()
		<-a.driver.slots
	}
}

// head implements h2Stream.
func (a *attempt) head() {
	a.state = inBody
	a.progress()
}

// data implements h2Stream.
func (a *attempt) data(b []byte) error {
	return a.take(b)
}

// end counts a stream that ended.
func (a *attempt) end(err error) {
	a.leave()
	if !a.done {
		a.done = true
		a.driver.swarm.failed(err)
		<-a.driver.slots
	}
}
