package http2

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// maxForward is how much of the inner server's output is looked at at once.
const maxForward = 32 << 10

// inner is the connection that an inner server sees. The server's goroutines do all the work: the one that reads takes in the client's
// frames, and the one that writes sends the server's.
type inner struct {
	conn  *Conn
	wake  chan struct{} // what the reader waits for
	first bool

	// These belong to the reader.
	before []byte // goes to the server before anything else
	ready  bool   // the server knows the client's settings

	out output // belongs to the one that has conn.wire

	nudged atomic.Bool // the state has something for the server, and reads fail until the server has it; changes under conn.mu
	dead   atomic.Bool // the server has closed the connection, or was let go
	inside atomic.Bool // the reader is in Read, and will see dead
	idle   atomic.Bool // the reader has given the server all that came, and waits for the next frame
	failed bool        // the client's connection cannot be read; conn.mu guards it
}

func newInner(c *Conn) *inner { return &inner{conn: c, wake: make(chan struct{}, 1)} }

// secured is an inner of a client that uses TLS.
type secured struct {
	*inner
	state func() tls.ConnectionState
}

func (s secured) ConnectionState() tls.ConnectionState { return s.state() }

func (in *inner) netConn() net.Conn {
	if t, ok := in.conn.transport.(interface{ ConnectionState() tls.ConnectionState }); ok {
		return secured{in, t.ConnectionState}
	}
	return in
}

func (in *inner) LocalAddr() net.Addr  { return in.conn.transport.LocalAddr() }
func (in *inner) RemoteAddr() net.Addr { return in.conn.addr }

func (in *inner) SetDeadline(t time.Time) error {
	return errors.Join(in.SetReadDeadline(t), in.SetWriteDeadline(t))
}

// SetReadDeadline has an effect on the first inner server only, which has to wait for the client's preface. All later ones get it at
// once, and set no deadline after it.
func (in *inner) SetReadDeadline(t time.Time) error {
	in.conn.mu.Lock()
	defer in.conn.mu.Unlock()
	if !in.first || in.nudged.Load() {
		return nil
	}
	return in.conn.transport.SetReadDeadline(t)
}

func (in *inner) SetWriteDeadline(t time.Time) error { return in.conn.transport.SetWriteDeadline(t) }

// rouse makes the reader look what has happened.
func (in *inner) rouse() {
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

// Read returns what the server gets to see of the client's frames.
func (in *inner) Read(b []byte) (int, error) {
	in.inside.Store(true)
	n, err := in.read(b)
	in.inside.Store(false) // before dead is looked at: part sets dead, then looks at inside, so one of the two sees the other
	if in.dead.Load() {
		in.quit()
		return 0, io.EOF
	}
	return n, err
}

func (in *inner) read(b []byte) (int, error) {
	f := &in.conn.in
	for len(b) > 0 {
		switch {
		case in.dead.Load():
			return 0, io.EOF
		case len(in.before) > 0:
			n := copy(b, in.before)
			in.before = in.before[n:]
			return n, nil
		case !in.ready:
			if err := in.settings(); err != nil {
				return 0, err
			}
		case f.pending:
			f.pending = false
			in.before = f.buf
		case f.preface > 0:
			n, err := in.fetch(b[:min(len(b), f.preface)])
			if err == nil {
				err = f.greet(b[:n])
			}
			switch {
			case err != nil:
				in.conn.lose(err) // so that no answer of HTTP/1 is sent
			case f.preface == 0:
				f.begin()
			}
			return n, err
		case f.rest > 0 && !f.drop:
			n, err := in.fetch(b[:min(uint32(len(b)), f.rest)])
			f.rest -= uint32(n)
			if err != errNudged { // otherwise the server gets the rest of the frame first
				return n, err
			}
		default:
			if err := in.frame(); err != nil {
				return 0, err
			}
		}
	}
	return 0, nil
}

// settings gives a fresh server the client's settings, one frame after the other, and then lets it see frames.
func (in *inner) settings() error {
	c := in.conn
	c.mu.Lock()
	in.before, c.state.toInner = c.state.toInner, nil
	in.ready = !c.state.replaying
	closed := c.closed
	c.mu.Unlock()
	switch {
	case closed:
		return io.EOF
	case len(in.before) == 0 && !in.ready:
		<-in.wake
	}
	return nil
}

// frame reads frames up to one that the server gets to see.
func (in *inner) frame() error {
	c, f := in.conn, &in.conn.in
	if in.nudged.Load() {
		return in.collect()
	}
	in.idle.Store(true)
	h, prefix, err := f.next(in.fetch)
	in.idle.Store(false)
	switch {
	case err == errNudged:
		return in.collect()
	case err != nil:
		return err
	}
	c.mu.Lock()
	if in.dead.Load() || c.closed { // the frame is judged by what reads next
		c.mu.Unlock()
		return io.EOF
	}
	f.judge(&c.state, h, prefix)
	in.before, c.state.toInner = c.state.toInner, nil
	settled := c.state.settled()
	c.mu.Unlock()
	if !settled {
		c.settle()
	}
	return nil
}

// errNudged ends a wait for the client, as the state has something for the server.
var errNudged = errors.New("nudged")

// nudge makes the reader give the server what the state has for it, even if the client is silent. The caller holds conn.mu.
func (in *inner) nudge() {
	in.nudged.Store(true)
	_ = in.conn.transport.SetReadDeadline(past)
}

// collect takes what the state has for the server.
func (in *inner) collect() error {
	c := in.conn
	c.mu.Lock()
	in.nudged.Store(false)
	in.endNudge()
	in.before, c.state.toInner = c.state.toInner, nil
	settled := c.state.settled()
	c.mu.Unlock()
	if !settled {
		c.settle()
	}
	return nil
}

// endNudge lets reads wait again. The caller holds conn.mu.
func (in *inner) endNudge() {
	if !in.dead.Load() && !in.conn.closed { // these end reads for good
		_ = in.conn.transport.SetReadDeadline(time.Time{})
	}
}

// fetch waits for what the client sends. drop and nudge end the wait.
func (in *inner) fetch(b []byte) (int, error) {
	n, err := in.conn.transport.Read(b)
	if n > 0 || err == nil {
		return n, nil // an error comes again
	}
	in.conn.mu.Lock()
	defer in.conn.mu.Unlock()
	switch {
	case in.dead.Load():
	case in.nudged.Load() && errors.Is(err, os.ErrDeadlineExceeded):
		in.endNudge()
		return 0, errNudged
	default:
		in.failed = true
	}
	return 0, err
}

// quit ends the reader. From here on frames are read while there is no inner server, or by the next one.
func (in *inner) quit() {
	c := in.conn
	c.mu.Lock()
	mine := c.reader == in
	if mine {
		c.reader = nil
		_ = c.transport.SetReadDeadline(time.Time{}) // which drop has set; if that fails, so do reads
	}
	c.mu.Unlock()
	if mine {
		c.readParked()
	}
}

// Write sends the server's frames.
func (in *inner) Write(b []byte) (int, error) {
	for done := 0; done < len(b); {
		n := min(len(b)-done, maxForward)
		if err := in.conn.forward(in, b[done:done+n]); err != nil {
			return done, err
		}
		if done += n; in.conn.transport.Queued() > maxQueued {
			if err := in.conn.transport.Drain(maxQueued); err != nil {
				return done, err
			}
		}
	}
	return len(b), nil
}

// forward sends what an inner server has written.
func (c *Conn) forward(in *inner, b []byte) error {
	c.wire.Lock()
	c.mu.Lock()
	if in.dead.Load() || c.closed {
		c.mu.Unlock()
		c.wire.Unlock()
		return net.ErrClosed
	}
	var p parts
	replaying := c.state.replaying
	in.out.split(&c.state, b, &p)
	c.sharing = true
	c.midway = in.out.midway() || c.state.serverBlock != 0
	c.state.roomy = c.state.roomy || !c.midway // held streams may have waited for that
	settled := c.state.settled()
	if !replaying && len(c.state.toInner) > 0 {
		in.nudge()
	}
	c.mu.Unlock()
	err := p.send(c.transport)
	c.wire.Unlock()
	if replaying {
		in.rouse()
	}
	if !settled {
		c.settle()
	}
	return err
}

// Close ends the connection for the server, and for the client too unless it has held streams that can go on. What the server has written
// still reaches a client that can be read from.
func (in *inner) Close() error {
	c := in.conn
	if in.dead.Load() || c.part(in) {
		return nil
	}
	c.mu.Lock()
	failed, closed := in.failed, c.closed
	c.mu.Unlock()
	switch {
	case closed: // what is queued still goes out
	case failed:
		c.lose(errLeft)
	default:
		c.finish()
	}
	return nil
}
