package http2

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/http2"
)

const (
	// maxQueued is how much of the inner server's output is queued before it has to wait.
	maxQueued = 64 << 10
	// maxHeldQueued is how much may be queued when a held stream writes. It is more, as what the inner server sends would leave nothing.
	maxHeldQueued = 2 * maxQueued
	// linger is how long a connection that is at its end stays open for the client to get what is queued.
	linger = 10 * time.Second
	// restAfter is how long a connection without any stream is parked before it gets an inner server, which has the idle timeout.
	restAfter = 10 * time.Second
)

// Conn is a client's connection.
//
// Locks: wire, then mu. Neither is held while anything waits.
type Conn struct {
	transport Transport
	server    *Server
	addr      net.Addr

	// wire makes frames that are written follow each other.
	wire    sync.Mutex
	midway  bool // a frame or a header block of the inner server's has not been written to its end
	sharing bool // the inner server has written since it was made, so that held streams cannot wait for an empty queue

	// mu guards what follows.
	mu     sync.Mutex
	state  state
	inner  *inner // nil while there is none
	reader *inner // the inner server's connection that reads frames; nil while none does
	parked bool   // a goroutine reads frames while there is no inner server
	again  bool   // that one has to look once more
	watch  bool   // the transport is watched
	closed bool
	last   bool        // the server shuts down
	timer  *time.Timer // to let the inner server go, or to make one for an idle connection
	pause  time.Duration
	// planned is state.highest as of when the timer was set, so that requests since then show.
	planned uint32
	rested  time.Time // when the inner server was let go

	in frames // the client's frames. It belongs to what reads them.
}

// newConn returns a Conn for a client's connection that has not sent anything yet, and the first inner server's end of it.
func newConn(server *Server, t Transport) (*Conn, *inner) {
	c := &Conn{transport: t, server: server, state: newState(), pause: server.pause}
	c.addr = &address{t.RemoteAddr(), c}
	c.in.preface = len(http2.ClientPreface)
	in := newInner(c)
	in.ready, in.first = true, true
	c.inner, c.reader = in, in
	return c, in
}

// address is the client's address. It leads from a connection that others have wrapped to the Conn.
type address struct {
	net.Addr
	conn *Conn
}

// Carrier returns the Conn.
func (a *address) Carrier() any { return a.conn }

// SyscallConn returns the client's raw connection, to set options of its socket.
func (c *Conn) SyscallConn() (syscall.RawConn, error) {
	if raw, ok := c.transport.(syscall.Conn); ok {
		return raw.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// settle does what the state has left to do. The caller holds no lock.
func (c *Conn) settle() {
	ends, err := c.flush()
	if err != nil {
		c.lose(err)
		return
	}
	c.mu.Lock()
	s := &c.state
	left, came := s.left, s.came
	s.left, s.came = nil, nil
	lost := make([]Feed, len(left))
	for i, e := range left {
		e.stream.reason = e.reason
		lost[i] = e.stream.feed
	}
	wake := c.unblock()
	c.plan()
	c.mu.Unlock()
	for _, one := range came {
		close(one.came)
	}
	for _, feed := range wake {
		feed.Room()
	}
	for i, feed := range lost {
		if feed != nil {
			feed.Left(left[i].reason)
		}
	}
	if ends {
		c.stop(errClosed)
		c.transport.Finish(linger)
	}
}

// flush writes the state's own frames, unless the inner server is in the middle of one, and reports whether the connection ends with them.
func (c *Conn) flush() (ends bool, err error) {
	c.wire.Lock()
	defer c.wire.Unlock()
	out, ends := c.takeOut()
	if len(out) > 0 {
		_, err = c.transport.Write(out)
	}
	return ends, err
}

// takeOut returns the state's own frames for the client, and whether the connection ends with them: then it is closed from now on, so
// that no frame is added that nobody would send. The caller holds wire.
func (c *Conn) takeOut() (out []byte, ends bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.state
	if c.closed {
		s.out = nil
		return nil, false
	}
	c.closed = s.broken || s.goneAway && !s.live && s.held == 0
	if c.midway {
		return nil, c.closed
	}
	if s.broken {
		s.goAway(s.failed, s.highest)
	}
	out, s.out = s.out, nil
	return out, c.closed
}

// unblock returns the feeds that waited for room. The caller holds mu.
func (c *Conn) unblock() (wake []Feed) {
	s := &c.state
	if s.roomy = false; s.held == 0 || s.windows.room() == 0 {
		return nil
	}
	for _, st := range s.streams {
		if st.blocked && st.window > 0 {
			st.blocked = false
			wake = append(wake, st.feed)
		}
	}
	return wake
}

// Readable is called by the transport.
func (c *Conn) Readable() { c.readParked() }

// Writable is called by the transport.
func (c *Conn) Writable() {
	c.mu.Lock()
	wake := c.unblock()
	c.mu.Unlock()
	for _, feed := range wake {
		feed.Room()
	}
}

// Gone is called by the transport.
func (c *Conn) Gone(err error) { c.lose(err) }

// lose closes a connection that can no longer be used.
func (c *Conn) lose(err error) {
	c.stop(err)
	_ = c.transport.Close()
	c.settle()
}

// finish closes the connection when what is queued was sent.
func (c *Conn) finish() {
	if c.stop(errClosed) { // otherwise, that is under way
		c.transport.Finish(linger)
		c.settle()
	}
}

// stop ends all held streams and the reader, and reports whether the connection was open.
func (c *Conn) stop(err error) (open bool) {
	c.mu.Lock()
	open, c.closed = !c.closed, true
	c.state.abandon(err)
	if c.inner != nil {
		c.inner.rouse()
		_ = c.transport.SetReadDeadline(past) // otherwise the server would be there until the client closes the connection
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	c.mu.Unlock()
	c.server.forget(c)
	return open
}

// shutdown tells the client to open no more streams. Held streams go on until they end, and the connection is closed after the last one.
func (c *Conn) shutdown() {
	c.mu.Lock()
	c.last = true
	if s := &c.state; !s.live && !s.goneAway { // the inner server does it itself
		s.goAway(http2.ErrCodeNo, s.highest)
	}
	c.mu.Unlock()
	c.settle()
}
