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
	// maxWrite is how many bytes are written before a flush.
	maxWrite = 64 << 10
	// maxPiece is how many bytes a client has to take within the write timeout. It is small, so that a client that is slow, but takes
	// some, is not given up.
	maxPiece = 16 << 10
	// keptFrames is the longest list of frames that a silent stream keeps.
	keptFrames = 8
)

// Serve writes what src has to w, whose headers are set, until the client leaves or src ends. conn is the request's connection, or nil
// if that is not known. Serve panics with http.ErrAbortHandler if the response must be cut off.
func Serve(ctx context.Context, w http.ResponseWriter, conn net.Conn, src Source, t *Timing) {
	var reason error
	defer func() { src.Close(reason) }() // after a panic, too
	// Through the wrappers, so that each of them can change the headers and the status.
	w.WriteHeader(http.StatusOK)
	if reason = http.NewResponseController(w).Flush(); reason != nil {
		return
	}
	s := &served{src: src, timing: t, conn: conn, w: w, wake: make(chan struct{}, 1)}
	// From here on past the wrappers: each of them costs a call for a write, and some set deadlines, which over HTTP/2 are messages to
	// another goroutine. But if one of them encodes the body, all has to go through it.
	if inner := Innermost(w); inner.Header().Get("Content-Encoding") == "" {
		s.w = inner
	}
	s.rc = http.NewResponseController(s.w)
	limitShared(conn)
	if reason = s.lift(); reason != nil {
		return
	}
	if reason = s.run(ctx); s.broken {
		panic(http.ErrAbortHandler)
	}
}

// served is a stream on its handler's goroutine.
type served struct {
	src    Source
	timing *Timing
	conn   net.Conn
	w      http.ResponseWriter
	rc     *http.ResponseController
	wake   chan struct{}
	broken bool // the source has ended with an error

	// beat fires when the silence may have to be broken, guard while a write takes long.
	beat, guard *time.Timer

	// mu guards what follows, and rc while a write is under way.
	mu     sync.Mutex
	kernel time.Duration // how long the kernel waits for a client that does not answer
	begun  time.Time     // when the write under way began; zero if there is none
	wrote  time.Time     // when the last write ended
	late   bool          // the write under way was given up
	isOver bool
}

// lift removes the deadline that a wrapper or the server has set, which is too short for a stream.
func (s *served) lift() error {
	if err := s.rc.SetWriteDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// Wake has the stream's goroutine look for frames. The source calls it.
func (s *served) Wake(bool) { s.signal() }

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
	s.src.OnWake(s)
	defer context.AfterFunc(ctx, s.signal)()
	var frames [][]byte
	for {
		var ended error
		frames, ended = s.src.Next(frames[:0], maxWrite)
		if len(frames) == 0 && ended == nil && s.silent() >= s.timing.Heartbeat() {
			if beat := s.src.Idle(); beat != nil {
				frames = append(frames, beat)
			}
		}
		if err := s.write(frames); err != nil {
			return err
		}
		switch {
		case errors.Is(ended, io.EOF):
			return nil
		case ended != nil:
			s.broken = true
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

// limitKernel makes the kernel wait as long as the stream does for a client that does not answer. The caller holds mu.
func (s *served) limitKernel() {
	if d := s.timing.WriteTimeout(); d != s.kernel {
		s.kernel = d
		limitSharedKernel(s.conn, d)
	}
}

// look is what beat calls. It sets beat anew each time, so that a write does not have to.
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

// pieces has buffers for frames that are written together.
var pieces = sync.Pool{New: func() any { return new([maxPiece]byte) }}

// write sends frames in as few pieces as possible, with one flush.
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

// piece writes bytes that a client has to take within the write timeout.
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

// wait ends a piece. From here on, guard does not use s.rc, which may no longer be valid.
func (s *served) wait() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.guard.Stop()
	s.begun, s.wrote = time.Time{}, time.Now()
}

// because returns the reason of a failed write, which is errTimeout if guard or the kernel gave it up.
func (s *served) because(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		return nil
	case s.late, errors.Is(err, syscall.ETIMEDOUT):
		return errTimeout
	case time.Since(s.begun) >= max(s.kernel-lastChance, s.kernel/2): // of 1s, the shortest, nothing would be left
		// The kernel reports its timeout once. If net/http reads in the background, that read gets it. This write then gets EPIPE, or,
		// over HTTP/2, whatever error a closed connection has there.
		return errTimeout
	}
	return err
}

// watch is what guard calls: it gives up a write that takes too long. A deadline before each write would cost more: over HTTP/2 it is a
// message to another goroutine, and has to be removed again, as it would reset a silent stream.
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
		_ = s.rc.SetWriteDeadline(time.Unix(1, 0)) // if it is not supported, the next call closes the connection
	}
	s.guard.Reset(lastChance)
}

// cut closes the connection, as over HTTP/2 the frame that resets a stream would wait for the client to take what was written before.
func (s *served) cut() {
	if secure, ok := s.conn.(*tls.Conn); ok {
		_ = secure.NetConn().Close() // without the alert that ends a TLS connection, which would wait as well
	} else if s.conn != nil {
		_ = s.conn.Close()
	}
}
