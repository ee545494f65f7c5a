package stream

import (
	"testing"
	"time"
)

// stuck is the source of a stream whose client takes nothing.
type stuck struct {
	Source
	asked  int // how often for frames
	closed error
}

func (s *stuck) Next([][]byte, int64) ([][]byte, error) { s.asked++; return nil, nil }

func (s *stuck) Close(reason error) { s.closed = reason }
func (s *stuck) Ended() bool        { return true }

// The time for which a process was suspended does not count as its clients' silence: nothing could be written to them.
func TestSuspensionIsNoSilence(t *testing.T) {
	l := &loop{wheel: wheel{start: time.Now()}, slots: make([]*held, 1), gens: make([]uint32, 1), count: 1}
	src := &stuck{}
	s := &held{pipe: pipe{src: src, fd: -1}, loop: l, timing: NewTiming(time.Hour, time.Minute), blocked: true}
	pass := func(d time.Duration) {
		l.start = l.start.Add(-d)
		l.turn(l.look)
	}
	l.turn(l.look)
	s.wrote = l.now
	l.schedule(s)
	for range 14 {
		pass(4 * time.Second)
		pass(time.Hour) // suspended
	}
	if s.closed {
		t.Fatalf("given up: %v", src.closed)
	}
	pass(4 * time.Second)
	if !s.closed || src.closed != errTimeout {
		t.Errorf("after a minute: closed %v, for %v", s.closed, src.closed)
	}
}

// A stream that has not begun belongs to its handler, which may be asking the source: however long that takes, and though the source
// has ended, the loop leaves it alone.
func TestNotYetBegun(t *testing.T) {
	l := &loop{wheel: wheel{start: time.Now()}, count: 1}
	src := &stuck{}
	s := &held{pipe: pipe{src: src, via: &via{outlet: departed{}}, fd: -1}, loop: l, timing: NewTiming(time.Second, time.Second), blocked: true}
	for range 20 {
		l.attend(s) // as the source wakes it
		s.Wake(true)
		l.start = l.start.Add(-time.Second)
		l.turn(l.look)
	}
	if s.closed || s.due != 0 {
		t.Errorf("closed %v, for %v; due at tick %d", s.closed, src.closed, s.due)
	}
}

// A connection whose handler writes the headers gets nothing from the source, even if a publisher would have it written at once. The loop
// attends to it later.
func TestNotWrittenBeforeTheHeaders(t *testing.T) {
	l := &loop{wheel: wheel{start: time.Now()}, count: 1, wake: make(chan struct{}, 1)}
	src := &stuck{}
	s := &held{pipe: pipe{src: src, fd: -1}, loop: l, timing: NewTiming(time.Second, time.Second)}
	s.Wake(true)
	if src.asked > 0 || len(l.dirty) != 1 {
		t.Errorf("asked %d times; %d streams wait for the loop", src.asked, len(l.dirty))
	}
}
