package stream

import (
	"crypto/tls"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// pipe is a source and what it is written to.
type pipe struct {
	src     Source
	via     *via     // nil for a plain connection
	backlog *backlog // what a full socket has left; nil if that is nothing

	fd      int32 // -1 for outlets
	chunked bool  // only with HTTP/1.1
	over    bool  // the last chunk was written, or is in backlog
	idle    bool  // the next turn breaks the stream's silence
}

// via is what a stream is written to if that is no plain connection: an outlet, or a connection with TLS.
type via struct {
	outlet Outlet // nil for a connection with TLS
	secured
}

// lent reports whether workers write to the stream.
func (p *pipe) lent() bool { return p.via != nil && p.via.outlet == nil }

// adopted reports whether the stream is written to an outlet.
func (p *pipe) adopted() bool { return p.via != nil && p.via.outlet != nil }

// secured is what a connection with TLS has more than a plain one.
type secured struct {
	*tls.Conn
	writes atomic.Uint32 // writes begun and ended; odd while one is under way
	seen   uint32        // writes at the last look; the loop's
	slow   bool          // the last turn was stuck; guarded by workers.mu
}

// moved reports whether a write has begun or ended since the last call, or none is under way.
func (c *secured) moved() bool {
	n := c.writes.Load()
	moved := n != c.seen || n%2 == 0
	c.seen = n
	return moved
}

// Write waits if the socket has no room for the record.
func (c *secured) Write(b []byte) (int, error) {
	c.writes.Add(1)
	defer c.writes.Add(1)
	return c.Conn.Write(b)
}

// backlog is what is still to be written, in this order: rest belongs to this connection, body is part of a frame that many
// connections share, and tail ends the event or the chunk.
type backlog struct{ rest, body, tail []byte }

// write makes one attempt that does not wait.
func (p *pipe) write(b []byte) (int, error) {
	switch {
	case p.via == nil:
		return unix.Write(int(p.fd), b)
	case p.adopted():
		return p.via.outlet.Write(b)
	}
	// crypto/tls waits for a full socket, so ask first whether the socket has room for a record.
	poll := []unix.PollFd{{Fd: p.fd, Events: unix.POLLOUT}}
	if n, err := unix.Poll(poll, 0); err != nil {
		return 0, err
	} else if n == 0 {
		return 0, unix.EAGAIN
	}
	return p.via.Write(b[:min(len(b), maxBatch)])
}

// hurry ends a write that waits all the same.
func (p *pipe) hurry() { _ = p.via.SetWriteDeadline(time.Unix(1, 0)) }

// shut ends an outlet, or closes the descriptor, which also removes it from the epoll.
func (p *pipe) shut(reason error) {
	switch {
	case p.via == nil:
		_ = unix.Close(int(p.fd))
	case p.adopted():
		p.via.outlet.End(reason)
	default:
		_ = p.via.NetConn().Close() // without the alert that ends a TLS connection, which could wait
	}
}
