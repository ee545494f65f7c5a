package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

const (
	// maxWrite is how much goes out before it is flushed.
	maxWrite = 64 << 10
	// maxPiece is how much of it a client has to take within the write timeout: one that is slow, but takes some, is
	// not given up.
	maxPiece = 16 << 10
	// keptFrames is how long the list of frames may be that a silent stream keeps.
	keptFrames = 8
)

// Serve writes what src has to w, whose headers are set, until the client leaves or src ends. conn is the connection
// that the request came by, or nil where that is not known.
func Serve(ctx context.Context, w http.ResponseWriter, conn net.Conn, src Source, t *Timing) {
	var reason error
	defer func() { src.Close(reason) }() // in a panic, too
	// Through the wrappers, so that the headers and the status are as everybody in between wants them.
	w.WriteHeader(http.StatusOK)
	if reason = http.NewResponseController(w).Flush(); reason != nil {
		return
	}
	s := &served{src: src, timing: t, conn: conn, w: w, wake: make(chan struct{}, 1)}
	// Behind their backs from here on: each of them costs a write, and some set deadlines that over HTTP/2 are
	// messages to another goroutine. But what one of them encodes has to go through it.
	if inner := innermost(w); inner.Header().Get("Content-Encoding") == "" {
		s.w = inner
	}
	s.rc = http.NewResponseController(s.w)
	limitShared(conn)
	if reason = s.lift(); reason != nil {
		return
	}
	reason = s.run(ctx)
}

// served is a stream on its handler's goroutine.
type served struct {
	src    Source
	timing *Timing
	conn   net.Conn
	w      http.ResponseWriter
	rc     *http.ResponseController
	wake   chan struct{}

	// beat goes off when the silence may have to be broken, guard while a write takes long.
	beat, guard *time.Timer

	mu     sync.Mutex    // guards the block, and s.rc while a write is under way
	kernel time.Duration // how long the kernel waits for a client that does not answer
	begun  time.Time     // the write under way; zero: there is none
	wrote  time.Time     // the end of the last one
	late   bool          // it was given up
	isOver bool
}

// lift takes off the deadline that a wrapper or the server has set: it is not for streams.
func (s *served) lift() error {
	if err := s.rc.SetWriteDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

func (s *served) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *served) run(ctx context.Context) error {
	s.mu.Lock()
	s.wrote = time.Now()
	s.limitKernel()
	s.beat = time.AfterFunc(min(s.timing.Heartbeat(), longestWait), s.look)
	s.guard = time.AfterFunc(time.Hour, s.watch)
	s.guard.Stop()
	s.mu.Unlock()
	defer s.over()
	s.src.OnWake(s.signal)
	defer context.AfterFunc(ctx, s.signal)()
	var frames [][]byte
	for {
		var ended error
		frames, ended = s.src.Next(frames[:0], maxWrite)
		if len(frames) == 0 && ended == nil && s.silent() >= s.timing.Heartbeat() {
			frames = append(frames, s.src.Idle())
		}
		if err := s.write(frames); err != nil {
			return err
		}
		switch {
		case errors.Is(ended, io.EOF):
			return nil
		case ended != nil:
			return ended
		case ctx.Err() != nil:
			return ctx.Err()
		case len(frames) > 0:
			clear(frames)
			continue
		}
		if cap(frames) > keptFrames {
			frames = nil
		}
		<-s.wake
	}
}

func (s *served) over() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.isOver = true
	s.beat.Stop()
	s.guard.Stop()
}

func (s *served) silent() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.wrote)
}

// limitKernel has the kernel wait as long as the stream does. The caller holds mu.
func (s *served) limitKernel() {
	if d := s.timing.WriteTimeout(); d != s.kernel {
		s.kernel = d
		limitSharedKernel(s.conn, d)
	}
}

// look is what beat does. It goes off again and again, so that a write need not set it anew.
func (s *served) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isOver {
		return
	}
	s.limitKernel()
	rest := s.timing.Heartbeat() - time.Since(s.wrote)
	if rest <= 0 {
		s.signal()
		rest = s.timing.Heartbeat()
	}
	s.beat.Reset(min(rest, longestWait))
}

// pieces are for frames that go out together.
var pieces = sync.Pool{New: func() any { return new([maxPiece]byte) }}

// write sends frames, as few pieces with one flush.
func (s *served) write(frames [][]byte) error {
	switch {
	case len(frames) == 0:
		return nil
	case len(frames) == 1 && len(frames[0]) <= maxPiece: // most of the time
		return s.piece(frames[0], true)
	}
	buf := pieces.Get().(*[maxPiece]byte)
	defer pieces.Put(buf)
	n := 0 // bytes in buf
	for _, f := range frames {
		for len(f) > 0 {
			if n == maxPiece {
				if err := s.piece(buf[:], false); err != nil {
					return err
				}
				n = 0
			}
			m := copy(buf[n:], f)
			f, n = f[m:], n+m
		}
	}
	return s.piece(buf[:n], true)
}

// piece writes what a client has to take within the write timeout.
func (s *served) piece(b []byte, flush bool) error {
	s.mu.Lock()
	s.begun, s.late = time.Now(), false
	s.guard.Reset(lastChance)
	s.mu.Unlock()
	defer s.wait()
	if _, err := s.w.Write(b); err != nil || !flush {
		return s.because(err)
	}
	return s.because(s.rc.Flush())
}

// wait is the end of a piece. Nobody uses s.rc from here on, as it may be gone.
func (s *served) wait() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.guard.Stop()
	s.begun, s.wrote = time.Time{}, time.Now()
}

// because names the reason of a failed write: errTimeout where guard or the kernel gave it up.
func (s *served) because(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		return nil
	case s.late, errors.Is(err, syscall.ETIMEDOUT):
		return errTimeout
	case time.Since(s.begun) >= s.kernel-lastChance:
		// The kernel tells its timeout once. If net/http reads in the background, that read is told, and this write gets
		// EPIPE, or over HTTP/2 whatever a closed connection means there.
		return errTimeout
	}
	return err
}

// watch is what guard does: it gives up a write that takes too long. A deadline before each write would cost more:
// over HTTP/2 it is a message to another goroutine, and has to be taken off again, as it resets a silent stream.
func (s *served) watch() {
	ended := s.src.Ended()
	s.mu.Lock()
	defer s.mu.Unlock()
	took := time.Since(s.begun)
	switch {
	case s.begun.IsZero():
		return
	case took < lastChance: // another write
	case s.late:
		s.cut()
	case ended || took >= s.timing.WriteTimeout():
		s.late = true
		_ = s.rc.SetWriteDeadline(time.Unix(1, 0)) // where it is not supported, the next time will do
	}
	s.guard.Reset(lastChance)
}

// cut closes the connection: over HTTP/2, the frame that resets a stream waits behind what the client does not take.
func (s *served) cut() {
	if secure, ok := s.conn.(*tls.Conn); ok {
		_ = secure.NetConn().Close() // the alert that TLS says good-bye with would wait as well
	} else if s.conn != nil {
		_ = s.conn.Close()
	}
}
