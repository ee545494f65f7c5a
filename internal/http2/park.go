package http2

import (
	"errors"
	"io"
	"slices"
	"syscall"
	"time"
)

const (
	// shortPause is how long nothing but held streams has to be open before the inner server is let go.
	shortPause = 100 * time.Millisecond
	// patience is how many times as long that takes on a connection that needs a new inner server within that time. Five seconds of an
	// idle inner server's memory are worth about as much as the work for a new one.
	patience = 50
)

// plan sets the timer. The caller holds mu.
func (c *Conn) plan() {
	s := &c.state
	switch {
	case c.timer != nil || c.closed:
	case s.isSpare() && !s.tableUnacked:
		pause := c.pause
		if s.tableEmpty && s.tableSince == s.highest { // the table was emptied after a pause
			pause = c.server.pause
		}
		c.timer, c.planned = time.AfterFunc(pause, c.release), s.highest
	case !s.live && s.held == 0 && !s.goneAway:
		c.timer = time.AfterFunc(restAfter, c.rest)
	}
}

// release lets the inner server go, if it has had nothing to do for a while. Before that, the client has to empty its header table.
func (c *Conn) release() {
	c.wire.Lock() // so that the server is not in the middle of a write
	c.mu.Lock()
	c.timer = nil
	in, s := c.inner, &c.state
	switch {
	case in == nil || c.closed || !s.isSpare() || s.highest != c.planned || !in.idle.Load() || !in.out.between():
	case !s.tableEmpty:
		s.resizeTable(0)
	case s.mayRelease():
		c.drop(in)
		if c.last && !s.goneAway {
			s.goAway(0, s.highest)
		}
		c.rested = time.Now()
	}
	c.mu.Unlock()
	c.wire.Unlock()
	c.settle()
}

// past is a deadline that ends a read, and all later ones, without taking anything off the transport.
var past = time.Unix(1, 0)

// drop ends an inner server's connection without ending the client's. The caller holds wire and mu.
func (c *Conn) drop(in *inner) {
	c.inner, c.sharing = nil, false
	c.state.release()
	in.dead.Store(true)
	_ = c.transport.SetReadDeadline(past) // ends the reader's wait
	in.rouse()
}

// part lets the inner server go, which has closed its connection, if the held streams can go on without it. That is so after a GOAWAY
// without an error.
func (c *Conn) part(in *inner) bool {
	c.wire.Lock()
	c.mu.Lock()
	s := &c.state
	ok := !c.closed && !in.failed && !s.broken && s.held > 0 && s.goneAway && in.out.between() && s.clientBlock == 0 &&
		s.serverBlock == 0 && !slices.ContainsFunc(s.streams, func(st *Stream) bool { return st.inner })
	if ok {
		c.drop(in)
	}
	c.mu.Unlock()
	c.wire.Unlock()
	if ok {
		if !in.inside.Load() { // the server may not read any more
			in.quit()
		}
		c.settle()
	}
	return ok
}

// rest gives a connection without any stream an inner server, which closes it after its idle timeout.
func (c *Conn) rest() {
	c.mu.Lock()
	c.timer = nil
	s := &c.state
	switch {
	case c.closed || s.live || s.held > 0 || s.goneAway:
	case c.reader != nil || c.parked:
		c.timer = time.AfterFunc(restAfter, c.rest)
	default:
		s.wake()
		c.renew()
	}
	c.mu.Unlock()
}

// renew makes the connection of a new inner server, after state.wake. The caller holds mu, and nothing reads frames.
func (c *Conn) renew() {
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	c.pause = c.server.pause
	if long := patience * c.pause; time.Since(c.rested) < long {
		c.pause = long
	}
	in := newInner(c)
	c.inner, c.reader = in, in
	go func() {
		if !c.server.accept(in.netConn()) {
			c.refused(in)
		}
	}()
}

// refused undoes renew, as no server accepts connections any more.
func (c *Conn) refused(in *inner) {
	c.mu.Lock()
	if c.reader != in {
		c.mu.Unlock()
		return
	}
	in.dead.Store(true)
	c.inner, c.reader = nil, nil
	c.state.sleep()
	c.in.drop, c.in.pending = true, false
	c.mu.Unlock()
	c.settle()
	c.readParked()
}

// readParked reads frames while there is no inner server, until there is nothing to read. It does not wait.
func (c *Conn) readParked() {
	for again := true; again; {
		c.mu.Lock()
		if c.reader != nil || c.closed || c.parked {
			c.again = true
			c.mu.Unlock()
			return
		}
		c.parked, c.again = true, false
		c.mu.Unlock()
		err := c.parse()
		if err == nil {
			return
		}
		switch {
		case errors.Is(err, syscall.EAGAIN):
			err = c.transport.AwaitRead()
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			err = errLeft
		}
		c.mu.Lock()
		c.parked, again = false, c.again
		c.mu.Unlock()
		if err != nil {
			c.lose(err)
			return
		}
	}
}

// parse takes in frames until there is nothing to read, or until there is an inner server. In the second case it returns nil, and parked
// belongs to another reader already.
func (c *Conn) parse() error {
	f := &c.in
	for {
		h, prefix, err := f.next(c.transport.TryRead)
		if err != nil {
			return err
		}
		c.mu.Lock()
		v := f.judge(&c.state, h, prefix)
		f.drop = !v.wake
		over := v.wake || c.state.broken || c.closed
		if c.parked = !over; v.wake {
			c.renew()
		}
		c.mu.Unlock()
		c.settle()
		if over {
			return nil
		}
	}
}
