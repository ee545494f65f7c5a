package stream

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// held is a stream whose connection was taken over. It belongs to a loop. A stream with TLS is lent to a worker while it is written
// to. There may be a million streams, so what only few of them need is kept elsewhere.
type held struct {
	pipe
	loop   *loop
	timing *Timing

	prev, next *held // in a bucket of the wheel

	slot uint32
	due  uint32 // the tick of the next look
	// wrote is the tick at which bytes were last written.
	wrote uint32
	// kernelTimeout is how many milliseconds the kernel waits for a client that does not answer.
	kernelTimeout uint32

	blocked bool // the socket is full
	last    bool // the source has ended, so that the client has only lastChance
	busy    bool // a worker has it
	again   bool // a worker has it, and there is more to do
	left    bool // a worker has it, and the client has left
	closed  bool
	queued  bool // in loop.dirty; guarded by loop.mu
}

// Wake has the loop attend to the stream. The source calls it.
func (s *held) Wake(now bool) {
	if now && s.attendNow() {
		return
	}
	l := s.loop
	l.mu.Lock()
	queued := s.queued
	if !queued {
		s.queued = true
		l.dirty = append(l.dirty, s)
	}
	l.mu.Unlock()
	if !queued {
		l.signal()
	}
}

// attendNow attends to the stream on the goroutine that calls it, if the loop is not at work and the stream has begun. It reports
// whether it did.
func (s *held) attendNow() bool {
	l := s.loop
	if !l.at.TryLock() {
		return false
	}
	defer l.at.Unlock()
	if s.due == 0 { // its handler may be writing the headers
		return false
	}
	l.attend(s)
	return true
}

// limitKernel makes the kernel wait as long as the stream does for a client that does not answer. If streams share a connection, the
// last one to set the limit decides.
func (s *held) limitKernel() {
	ms := userTimeout(s.timing.WriteTimeout())
	if ms == s.kernelTimeout {
		return
	}
	s.kernelTimeout = ms
	if !s.adopted() {
		limitKernel(int(s.fd), ms)
	} else if o, ok := s.via.outlet.(syscall.Conn); ok {
		setRaw(o, unix.TCP_USER_TIMEOUT, int(ms))
	}
}

// timeout returns for how many ticks the client may take nothing.
func (s *held) timeout() uint32 {
	if s.last {
		return ticks(min(lastChance, s.timing.WriteTimeout()))
	}
	return ticks(s.timing.WriteTimeout())
}
