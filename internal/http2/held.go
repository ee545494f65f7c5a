package http2

import (
	"context"
	"syscall"

	"golang.org/x/net/http2"
)

// Held is a stream that is held.
type Held struct {
	conn   *Conn
	stream *Stream
}

// hold has the stream of a request held, and returns it, or nil if it cannot be held. signal writes to the response, whose headers have
// been sent, and flushes. It must not return before the stream has ended or the bytes are written. If the stream is held, the handler has
// to return at once and to write nothing more. If it is not, the client may have got a comment.
func (c *Conn) hold(ctx context.Context, signal func([]byte) error) *Held {
	c.watchOnce()
	one := newSignal()
	c.mu.Lock()
	may := c.state.mayHold()
	if may {
		c.state.signals = append(c.state.signals, one)
	}
	c.mu.Unlock()
	if !may {
		return nil
	}
	if err := signal(one.text[:]); err == nil {
		select {
		case <-one.came:
		case <-ctx.Done():
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.forget(one)
	if one.stream == nil {
		return nil
	}
	return &Held{c, one.stream} // even if the context is done
}

// watchOnce begins to watch the transport.
func (c *Conn) watchOnce() {
	c.wire.Lock()
	defer c.wire.Unlock()
	if c.watch {
		return
	}
	c.transport.Watch(c)
	c.mu.Lock()
	c.watch = true
	c.mu.Unlock()
}

// Attach sets what feeds a held stream, and starts it. It is called once.
func (h *Held) Attach(feed Feed) {
	c, st := h.conn, h.stream
	c.mu.Lock()
	st.feed = feed
	held, reason := st.held, st.reason
	c.mu.Unlock()
	if !held && reason != nil {
		feed.Left(reason)
		return
	}
	feed.Room()
}

// Write sends as much of b as there is room for. If that is not all, it returns syscall.EAGAIN.
func (h *Held) Write(b []byte) (int, error) {
	done := 0
	for done < len(b) {
		n, err := h.conn.writeHeld(h.stream, b[done:min(len(b), done+maxDataLen)])
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// writeHeld is Write for no more than a DATA frame has room for.
func (c *Conn) writeHeld(st *Stream, b []byte) (int, error) {
	c.wire.Lock()
	defer c.wire.Unlock()
	n := 0
	for again := true; again; {
		c.mu.Lock()
		if !st.held || c.closed {
			c.mu.Unlock()
			return 0, errClosed
		}
		ready := c.hasRoom()
		if ready {
			n = c.state.take(st, len(b))
		}
		st.blocked = n < len(b)
		c.mu.Unlock()
		again = !ready && c.hasRoom() // what was queued may have been sent before blocked was set
	}
	if n > 0 {
		if err := sendData(c.transport, st.id, b[:n]); err != nil {
			return 0, err
		}
	}
	if n < len(b) {
		return n, syscall.EAGAIN
	}
	return n, nil
}

// hasRoom reports whether a held stream may write. The caller holds wire.
func (c *Conn) hasRoom() bool {
	most := 0
	if c.sharing {
		most = maxHeldQueued
	}
	return !c.midway && c.transport.Queued() <= most
}

// sendData sends a DATA frame.
func sendData(t Transport, id uint32, b []byte) error {
	buf := joined.Get().(*[]byte)
	defer joined.Put(buf)
	*buf = append(header{uint32(len(b)), http2.FrameData, 0, id}.append((*buf)[:0]), b...)
	_, err := t.Write(*buf)
	return err
}

// SyscallConn returns the raw connection that the stream shares with others.
func (h *Held) SyscallConn() (syscall.RawConn, error) { return h.conn.SyscallConn() }

// End ends the stream: with END_STREAM if the reason is nil, or by a reset.
func (h *Held) End(reason error) {
	c, st := h.conn, h.stream
	c.mu.Lock()
	if st.held && !c.closed {
		c.state.end(st, reason != nil)
	}
	c.mu.Unlock()
	c.settle()
}

// end ends a held stream.
func (s *state) end(st *Stream, reset bool) {
	if reset {
		s.out = appendReset(s.out, st.id, http2.ErrCodeInternal)
	} else {
		s.out = header{0, http2.FrameData, http2.FlagDataEndStream, st.id}.append(s.out)
	}
	s.leave(st, errClosed)
	s.left = s.left[:len(s.left)-1] // its feed knows
}
