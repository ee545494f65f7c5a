package stream

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxBatch is how much is taken from a source at a time. What a full socket leaves of it has to be kept.
	maxBatch = 16 << 10
	// turns is how often a stream is written to before others have theirs.
	turns = 4
	// sendBuffer bounds what the kernel keeps for a client that does not read: twice as much. A third of it, of which
	// a socket has to be free before it counts as writable, takes a TLS record of maxBatch.
	sendBuffer = 64 << 10
	// notSent is how much of it may wait to be sent before a plain socket counts as full.
	notSent = 16 << 10
)

// held is a connection that was taken over. It belongs to its loop; one with TLS is lent to a worker while it is busy.
// There may be a million: what only a few have stands elsewhere.
type held struct {
	src     Source
	loop    *loop
	timing  *Timing
	tls     *secured // nil: plain
	backlog *backlog // what a full socket has left

	prev, next *held // in a bucket of the wheel

	fd   int32
	slot uint32
	due  uint32 // the tick at which it is looked at next
	// wrote is the tick at which bytes were last written.
	wrote uint32
	// kernelTimeout is how long the kernel waits for a client that does not answer, in milliseconds.
	kernelTimeout uint32

	chunked bool // otherwise HTTP/1.0
	idle    bool // its silence is to be broken
	blocked bool // the socket is full
	last    bool // and the source has ended
	busy    bool // a worker has it
	again   bool // and there is more to do
	left    bool // and its client has gone
	closed  bool
	queued  bool // guarded by loop.mu
}

// secured is what a connection with TLS has more than a plain one.
type secured struct {
	*tls.Conn
	writes atomic.Uint32 // how many have begun and ended: odd while one is under way
	seen   uint32        // of writes; the loop's
	slow   bool          // its last turn was stuck; guarded by workers.mu
}

// moved reports whether a write has begun or ended since the last call, or none is under way.
func (c *secured) moved() bool {
	n := c.writes.Load()
	moved := n != c.seen || n%2 == 0
	c.seen = n
	return moved
}

// Write waits where the socket has no room for the record.
func (c *secured) Write(b []byte) (int, error) {
	c.writes.Add(1)
	defer c.writes.Add(1)
	return c.Conn.Write(b)
}

// backlog is what is still to be written, in this order: rest is a connection's own, body a part of a frame that many
// share, and with crlf a chunk's end follows.
type backlog struct {
	rest, body []byte
	crlf       bool
}

// result is what a turn of writing came to.
type result struct {
	state state
	wrote bool
	begun bool  // nothing was under way before
	err   error // of failed and ended
}

type state uint8

const (
	quiet  state = iota // there is nothing more to write
	more                // there is, but others have their turn first
	full                // the socket takes no more
	ended               // the source has ended
	failed              // the connection is broken
)

// writer writes to held connections, one after the other.
type writer struct {
	frames  [][]byte
	scratch []byte
	out     backlog
	begun   time.Time // the turn
}

// slice is how long a turn that may wait goes on to write: others have their turn behind it.
const slice = 10 * time.Millisecond

// late reports whether a turn with TLS has taken long.
func (w *writer) late(s *held) bool { return s.tls != nil && time.Since(w.begun) > slice }

// run writes what a stream has, as far as the socket takes it.
func (w *writer) run(s *held) (r result) {
	if s.tls != nil {
		w.begun = time.Now()
	}
	if r.begun = s.backlog == nil; !r.begun {
		if r.state, r.err = w.flush(s, s.backlog, &r.wrote); r.state != quiet {
			return r
		}
		s.backlog = nil
	}
	for range turns {
		frames, end := s.src.Next(w.frames[:0], maxBatch)
		if len(frames) == 0 && end == nil && s.idle {
			frames = append(frames, s.src.Idle())
		}
		s.idle = false
		w.frames = frames
		n := len(frames)
		if n > 0 {
			w.encode(frames, s.chunked)
			clear(frames)
		}
		r.state, r.err = w.flush(s, &w.out, &r.wrote)
		if end != nil && r.state == quiet && s.chunked {
			w.out.rest = append(w.scratch[:0], "0\r\n\r\n"...)
			r.state, r.err = w.flush(s, &w.out, &r.wrote)
		}
		if r.state == full || r.state == more { // also at the end, which the source will say again
			s.backlog = &backlog{append([]byte(nil), w.out.rest...), w.out.body, w.out.crlf} // scratch is used for others
		}
		w.out = backlog{}
		switch {
		case r.state != quiet:
			return r
		case errors.Is(end, io.EOF):
			r.state = ended
			return r
		case end != nil:
			r.state, r.err = ended, end
			return r
		case n == 0:
			return r
		case w.late(s):
			r.state = more
			return r
		}
	}
	r.state = more
	return r
}

// encode makes frames one chunk. A large one goes out from where it is, shared as it may be; small ones are put
// together first.
func (w *writer) encode(frames [][]byte, chunked bool) {
	size := 0
	for _, f := range frames {
		size += len(f)
	}
	b := w.scratch[:0]
	if chunked {
		b = append(strconv.AppendUint(b, uint64(size), 16), '\r', '\n')
	}
	if len(frames) == 1 && size > maxBatch {
		w.out.body, w.out.crlf = frames[0], chunked
	} else {
		for _, f := range frames {
			b = append(b, f...)
		}
		if chunked {
			b = append(b, '\r', '\n')
		}
	}
	w.scratch, w.out.rest = b, b
}

// flush writes what is left of a stream's bytes.
func (w *writer) flush(s *held, l *backlog, wrote *bool) (state, error) {
	for {
		b := &l.rest
		switch {
		case len(l.rest) > 0:
		case len(l.body) > 0:
			b = &l.body
		case l.crlf:
			l.rest, l.crlf = crlf, false
		default:
			return quiet, nil
		}
		n, err := s.write(*b)
		switch err {
		case nil:
			*wrote = true
			if *b = (*b)[n:]; w.late(s) && (len(l.rest)+len(l.body) > 0 || l.crlf) {
				return more, nil
			}
		case unix.EINTR:
		case unix.EAGAIN:
			return full, nil
		default:
			return failed, os.NewSyscallError("write", err)
		}
	}
}

var crlf = []byte("\r\n")

// write makes one attempt that does not wait.
func (s *held) write(b []byte) (int, error) {
	if s.tls == nil {
		return unix.Write(int(s.fd), b)
	}
	// crypto/tls waits where a socket is full, so it is asked first whether it has room for a record.
	poll := []unix.PollFd{{Fd: s.fd, Events: unix.POLLOUT}}
	if n, err := unix.Poll(poll, 0); err != nil {
		return 0, err
	} else if n == 0 {
		return 0, unix.EAGAIN
	}
	return s.tls.Write(b[:min(len(b), maxBatch)])
}

// hurry ends a write that waits all the same.
func (s *held) hurry() { _ = s.tls.SetWriteDeadline(time.Unix(1, 0)) }

// shut closes the descriptor, which takes it out of the epoll as well.
func (s *held) shut() {
	if s.tls != nil {
		_ = s.tls.NetConn().Close() // without the alert that TLS would say good-bye with: it could wait
		return
	}
	_ = unix.Close(int(s.fd))
}

// limitSocket bounds what the kernel keeps for a connection.
func limitSocket(fd int, plain bool) {
	set := func(level, name, value int) {
		_ = unix.SetsockoptInt(fd, level, name, value) // a limit, not a need
	}
	set(unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer)
	if plain {
		set(unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSent)
	}
}

// limitKernel has the kernel wait for a client that does not answer as long as the stream does.
func (s *held) limitKernel() {
	ms := uint32(min(s.timing.WriteTimeout().Milliseconds(), 1<<31-1))
	if ms != s.kernelTimeout {
		s.kernelTimeout = ms
		_ = unix.SetsockoptInt(int(s.fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(ms)) // as above
	}
}

// limitShared bounds what a connection that is not held, and may be shared as HTTP/2's are, keeps of what was not sent yet:
// what is on its way may be as much as the network asks for.
func limitShared(conn net.Conn) {
	setShared(conn, unix.TCP_NOTSENT_LOWAT, sendBuffer)
}

// limitSharedKernel has the kernel wait for a client that does not answer no longer than this. Of the streams that share a
// connection, the one that has set it last decides.
func limitSharedKernel(conn net.Conn, d time.Duration) {
	setShared(conn, unix.TCP_USER_TIMEOUT, int(min(d.Milliseconds(), 1<<31-1)))
}

// setShared sets an option of TCP on a connection, whatever wraps it. Where it cannot be found or set, it stays as it is: these
// are limits, not needs.
func setShared(conn net.Conn, name, value int) {
	for {
		if raw, ok := conn.(syscall.Conn); ok {
			if c, err := raw.SyscallConn(); err == nil {
				_ = c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, name, value) })
			}
			return
		}
		if tcp, ok := tcpOf(conn); ok {
			conn = tcp
			continue
		}
		wrapper, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			return
		}
		conn = wrapper.NetConn()
	}
}
