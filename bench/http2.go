package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// windows are the flow-control windows of an HTTP/2 client, and how many bytes it reads before it sends an update.
type windows struct {
	stream, connection             int
	updateStream, updateConnection int
}

var (
	// chromeWindows are those of Chrome and browsers built on it.
	chromeWindows = windows{6 << 20, 15 << 20, 3 << 20, 15 << 19}
	// goWindows are those of Go's net/http.
	goWindows = windows{4 << 20, 1 << 30, 4 << 10, 4 << 10}
)

// windows returns the windows of the clients of a protocol.
func (p protocol) windows() windows {
	if p == h2Go {
		return goWindows
	}
	return chromeWindows
}

const (
	// firstWindow is every window before the first settings and updates (RFC 9113, section 6.9.2).
	firstWindow = 65_535
	// frameSize is the largest frame that every peer accepts.
	frameSize = 16 << 10
	// headerTable is the size of Chrome's HPACK table.
	headerTable = 64 << 10
)

// h2Stream takes what comes on a stream, from the connection's reading goroutine.
type h2Stream interface {
	// head is called when the response's head has come, with a status of 200.
	head()
	data(b []byte) error
	// end is called once: with io.EOF if the server ended the stream, or with what else ended it.
	end(err error)
}

// h2Conn is a client's connection. It can be used by several goroutines, one of which reads it by serve.
type h2Conn struct {
	conn    net.Conn
	windows windows
	framer  *http2.Framer // writes to out
	unsent  int           // bytes read since the last update; the reader's own

	mu      sync.Mutex // guards what follows, and the writing side of framer
	room    *sync.Cond // there may be room to send
	out     bytes.Buffer
	block   bytes.Buffer
	fields  *hpack.Encoder // writes to block
	streams map[uint32]*h2Open
	next    uint32 // the next stream
	window  int    // what may be sent on the connection
	initial int    // what may be sent on a new stream
	err     error  // why nothing more can be sent
}

// h2Open is a stream that is open.
type h2Open struct {
	h2Stream
	unsent int // the reader's own
	window int // what may be sent; the connection's mu guards it
}

// newH2Conn returns a client on a connection. It sends its preface with the first request.
func newH2Conn(conn net.Conn, w windows) *h2Conn {
	c := &h2Conn{conn: conn, windows: w, streams: map[uint32]*h2Open{}, next: 1, window: firstWindow, initial: firstWindow}
	c.room = sync.NewCond(&c.mu)
	c.fields = hpack.NewEncoder(&c.block)
	c.fields.SetMaxDynamicTableSizeLimit(headerTable)
	c.framer = http2.NewFramer(&c.out, conn)
	c.framer.ReadMetaHeaders = hpack.NewDecoder(headerTable, nil)
	c.framer.SetReuseFrames()
	// Writing to a buffer does not fail.
	c.out.WriteString(http2.ClientPreface)
	_ = c.framer.WriteSettings(
		http2.Setting{ID: http2.SettingHeaderTableSize, Val: headerTable},
		http2.Setting{ID: http2.SettingEnablePush, Val: 0},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(w.stream)},
		http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: 256 << 10},
	)
	_ = c.framer.WriteWindowUpdate(0, uint32(w.connection-firstWindow))
	return c
}

// subscribe opens a client's event stream.
func (c *h2Conn) subscribe(s *swarm, a *attempt) error {
	fields := []hpack.HeaderField{
		{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: s.target.host},
		{Name: ":path", Value: s.target.path(a.user)}, {Name: "accept", Value: "text/event-stream"},
	}
	if s.lastEventID != "" {
		fields = append(fields, hpack.HeaderField{Name: "last-event-id", Value: s.lastEventID})
	}
	return c.open(a, fields, nil)
}

// open sends a request, and returns once its body is sent or its stream has ended. It returns an error only if it could not open
// the stream; end is not called then.
func (c *h2Conn) open(s h2Stream, fields []hpack.HeaderField, body []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	id := c.next
	c.next += 2
	open := &h2Open{h2Stream: s, window: c.initial}
	c.streams[id] = open
	c.block.Reset()
	for _, f := range fields {
		_ = c.fields.WriteField(f)
	}
	_ = c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.block.Bytes(), EndStream: len(body) == 0, EndHeaders: true,
		Priority: http2.PriorityParam{Exclusive: true, Weight: 255}}) // as Chrome has it
	c.flush()
	for len(body) > 0 {
		for min(c.window, open.window) <= 0 && c.streams[id] != nil && c.err == nil {
			c.room.Wait()
		}
		if c.streams[id] == nil || c.err != nil {
			break
		}
		n := min(frameSize, c.window, open.window, len(body))
		_ = c.framer.WriteData(id, n == len(body), body[:n])
		body, c.window, open.window = body[n:], c.window-n, open.window-n
		c.flush()
	}
	return nil
}

// flush sends what has been written. If that fails, it closes the connection, which ends serve.
func (c *h2Conn) flush() {
	if c.err != nil {
		c.out.Reset()
		return
	}
	if _, err := c.out.WriteTo(c.conn); err != nil {
		c.err = err
		c.conn.Close()
	}
}

// serve reads until the connection ends, and ends all streams.
func (c *h2Conn) serve() {
	var err error
	for err == nil {
		var frame http2.Frame
		if frame, err = c.framer.ReadFrame(); err == nil {
			err = c.read(frame)
		}
	}
	c.mu.Lock()
	c.err = err
	streams := c.streams
	c.streams = nil
	c.room.Broadcast()
	c.mu.Unlock()
	for _, s := range streams {
		s.end(err)
	}
}

func (c *h2Conn) read(frame http2.Frame) error {
	id := frame.Header().StreamID
	switch f := frame.(type) {
	case *http2.DataFrame:
		return c.readData(id, f)
	case *http2.MetaHeadersFrame:
		s := c.stream(id)
		if s == nil {
			return nil
		}
		if status := f.PseudoValue("status"); status == "200" {
			s.head()
		} else if status != "" { // it is empty in trailers
			c.finish(id, fmt.Errorf("status %s", status))
		}
		if f.StreamEnded() {
			c.finish(id, io.EOF)
		}
	case *http2.SettingsFrame:
		return c.readSettings(f)
	case *http2.WindowUpdateFrame:
		c.mu.Lock()
		defer c.mu.Unlock()
		if id == 0 {
			c.window += int(f.Increment)
		} else if s := c.streams[id]; s != nil {
			s.window += int(f.Increment)
		}
		c.room.Broadcast()
	case *http2.PingFrame:
		if !f.IsAck() {
			c.mu.Lock()
			defer c.mu.Unlock()
			_ = c.framer.WritePing(true, f.Data)
			c.flush()
		}
	case *http2.RSTStreamFrame:
		c.finish(id, fmt.Errorf("stream reset: %v", f.ErrCode))
	case *http2.GoAwayFrame:
		return fmt.Errorf("server going away: %v", f.ErrCode)
	}
	return nil
}

// readData passes data to its stream, and sends window updates.
func (c *h2Conn) readData(id uint32, f *http2.DataFrame) error {
	s := c.stream(id)
	if s != nil && len(f.Data()) > 0 {
		if err := s.data(f.Data()); err != nil {
			return err
		}
	}
	n := int(f.Length)
	if f.StreamEnded() {
		c.finish(id, io.EOF)
		s = nil
	}
	var grantConn, grantStream int
	if c.unsent += n; c.unsent >= c.windows.updateConnection {
		grantConn, c.unsent = c.unsent, 0
	}
	if s != nil {
		if s.unsent += n; s.unsent >= c.windows.updateStream {
			grantStream, s.unsent = s.unsent, 0
		}
	}
	if grantConn+grantStream == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if grantConn > 0 {
		_ = c.framer.WriteWindowUpdate(0, uint32(grantConn))
	}
	if grantStream > 0 {
		_ = c.framer.WriteWindowUpdate(id, uint32(grantStream))
	}
	c.flush()
	return nil
}

// readSettings applies and acknowledges the server's settings.
func (c *h2Conn) readSettings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	err := f.ForeachSetting(func(s http2.Setting) error {
		switch s.ID {
		case http2.SettingHeaderTableSize:
			c.fields.SetMaxDynamicTableSize(s.Val) // of at most headerTable
		case http2.SettingInitialWindowSize:
			for _, open := range c.streams {
				open.window += int(s.Val) - c.initial
			}
			c.initial = int(s.Val)
			c.room.Broadcast()
		}
		return nil
	})
	_ = c.framer.WriteSettingsAck()
	c.flush()
	return err
}

// stream returns an open stream, or nil.
func (c *h2Conn) stream(id uint32) *h2Open {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.streams[id]
}

// finish ends a stream, if it is open.
func (c *h2Conn) finish(id uint32, err error) {
	c.mu.Lock()
	s := c.streams[id]
	delete(c.streams, id)
	c.room.Broadcast()
	c.mu.Unlock()
	if s != nil {
		s.end(err)
	}
}
