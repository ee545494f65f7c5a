package stream

import (
	"crypto/tls"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// pipe is a source and the connection that it is written to.
type pipe struct {
	src     Source
	tls     *secured // nil for a plain connection
	backlog *backlog // what a full socket has left; nil if that is nothing

	fd      int32
	chunked bool // false for HTTP/1.0
	idle    bool // the next turn breaks the stream's silence
}

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
// connections share, and crlf ends the chunk.
type backlog struct {
	rest, body []byte
	crlf       bool
}

// write makes one attempt that does not wait.
func (p *pipe) write(b []byte) (int, error) {
	if p.tls == nil {
		return unix.Write(int(p.fd), b)
	}
	// crypto/tls waits for a full socket, so ask first whether the socket has room for a record.
	poll := []unix.PollFd{{Fd: p.fd, Events: unix.POLLOUT}}
	if n, err := unix.Poll(poll, 0); err != nil {
		return 0, err
	} else if n == 0 {
		return 0, unix.EAGAIN
	}
	return p.tls.Write(b[:min(len(b), maxBatch)])
}

// hurry ends a write that waits all the same.
func (p *pipe) hurry() { _ = p.tls.SetWriteDeadline(time.Unix(1, 0)) }

// shut closes the descriptor, which also removes it from the epoll.
func (p *pipe) shut() {
	if p.tls != nil {
		_ = p.tls.NetConn().Close() // without the alert that ends a TLS connection, which could wait
		return
	}
	_ = unix.Close(int(p.fd))
}
