package stream

import (
	"crypto/tls"
	"errors"
	"io"
	"os"
	"strconv"
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
type held struct {
	src  Source
	loop *loop
	tls  *tls.Conn // nil: plain

	// What a full socket has left, in this order: rest is this connection's own, body a part of a frame that
	// many share, and with crlf a chunk's end follows.
	rest, body []byte

	prev, next *held // in a bucket of the wheel

	fd   int32
	slot uint32
	gen  uint32 // of the slot: tells this connection from an earlier one

	// In ticks.
	due       uint32 // when it is looked at next
	wrote     uint32 // when bytes were last written
	heartbeat uint32
	timeout   uint32

	chunked bool // otherwise HTTP/1.0
	crlf    bool
	idle    bool // its silence is to be broken
	blocked bool // the socket is full
	busy    bool // a worker has it
	again   bool // and there is more to do
	left    bool // and its client has gone
	closed  bool
	queued  bool // guarded by loop.mu
}

// result is what a turn of writing came to.
type result struct {
	state state
	wrote bool
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
}

// run writes what a stream has, as far as the socket takes it.
func (w *writer) run(s *held) (r result) {
	for range turns {
		if r.state, r.err = s.flush(&r.wrote); r.state != quiet {
			return r
		}
		frames, end := s.src.Next(w.frames[:0], maxBatch)
		if len(frames) == 0 && end == nil && s.idle {
			frames = append(frames, s.src.Idle())
		}
		s.idle = false
		w.frames = frames
		n := len(frames)
		if n > 0 {
			w.encode(s, frames)
			clear(frames)
		}
		r.state, r.err = s.flush(&r.wrote)
		if end != nil && r.state == quiet && s.chunked {
			s.rest = append(w.scratch[:0], "0\r\n\r\n"...)
			r.state, r.err = s.flush(&r.wrote)
		}
		switch {
		case r.state == full: // also at the end, which the source will say again
			s.rest = append([]byte(nil), s.rest...) // scratch is used for others
			return r
		case r.state == failed:
			return r
		case errors.Is(end, io.EOF):
			return result{ended, r.wrote, nil}
		case end != nil:
			return result{ended, r.wrote, end}
		case n == 0:
			return r
		}
	}
	r.state = more
	return r
}

// encode makes frames one chunk. A large one goes out from where it is, shared as it may be; small ones are put
// together first.
func (w *writer) encode(s *held, frames [][]byte) {
	size := 0
	for _, f := range frames {
		size += len(f)
	}
	b := w.scratch[:0]
	if s.chunked {
		b = append(strconv.AppendUint(b, uint64(size), 16), '\r', '\n')
	}
	if len(frames) == 1 && size > maxBatch {
		s.body, s.crlf = frames[0], s.chunked
	} else {
		for _, f := range frames {
			b = append(b, f...)
		}
		if s.chunked {
			b = append(b, '\r', '\n')
		}
	}
	w.scratch, s.rest = b, b
}

// flush writes what is left.
func (s *held) flush(wrote *bool) (state, error) {
	for {
		b := &s.rest
		switch {
		case len(s.rest) > 0:
		case len(s.body) > 0:
			b = &s.body
		case s.crlf:
			s.rest, s.crlf = crlf, false
		default:
			s.rest, s.body = nil, nil
			return quiet, nil
		}
		n, err := s.write(*b)
		switch err {
		case nil:
			*wrote = true
			*b = (*b)[n:]
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
func limitSocket(fd int, plain bool, timeout time.Duration) {
	set := func(level, name, value int) {
		_ = unix.SetsockoptInt(fd, level, name, value) // a limit, not a need
	}
	set(unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer)
	set(unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(timeout.Milliseconds()))
	if plain {
		set(unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSent)
	}
}
