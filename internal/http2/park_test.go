package http2

import (
	"net"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/net/http2"
)

// One goroutine reads a parked connection, even if the inner server that another has woken is let go before that one goes on.
func TestOneReaderWhileParked(t *testing.T) {
	s := newSite(t)
	b := s.browser(t)
	b.events("a")
	s.feed(t, "a")
	b.parked()
	c, woken := b.c, make(chan *inner, 1)
	s.accept = func(conn net.Conn) bool { woken <- conn.(*inner); return true }
	p := c.transport.(*plain)
	p.mu.Lock()
	h := header{1, http2.FrameHeaders, http2.FlagHeadersEndHeaders | http2.FlagHeadersEndStream, c.state.highest + 2}
	p.in = append(h.append(p.in), 0x82)
	p.mu.Unlock()

	c.wire.Lock() // so that the first one stops when it has woken an inner server
	first, second := make(chan struct{}), make(chan struct{})
	go func() { defer close(first); c.readParked() }()
	in := <-woken
	gate := make(chan struct{})
	p.mu.Lock()
	p.gate = gate
	p.mu.Unlock()
	c.mu.Lock()
	c.drop(in)
	c.mu.Unlock()
	go func() { defer close(second); _, _ = in.Read(make([]byte, headerLen)) }()
	reads := func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.parked
	}
	until(t, reads)
	c.wire.Unlock()
	<-first
	if !reads() {
		t.Error("a third one could read beside the second")
	}
	close(gate)
	<-second
}

// beside is a transport that reports at the worst moment: while the reader asks for that.
type beside struct {
	*plain
	report func()
	came   bool
	asked  atomic.Bool
	wrong  atomic.Bool
}

func (b *beside) AwaitRead() error {
	if !b.came {
		b.came = true
		b.asked.Store(true)
		b.report()
		b.asked.Store(false)
	}
	return b.plain.AwaitRead()
}

func (b *beside) TryRead(p []byte) (int, error) {
	if b.asked.Load() {
		b.wrong.Store(true)
	}
	return b.plain.TryRead(p)
}

// A report that an inner server has asked for may come when that one was let go. Nothing reads then until AwaitRead has returned.
func TestReportBesideAwaitRead(t *testing.T) {
	s := newSite(t)
	x := s.frames(t, ample)
	x.hold(s, "a")
	until(t, func() bool { x.c.mu.Lock(); defer x.c.mu.Unlock(); return !x.c.parked })
	b := &beside{plain: x.p, report: x.c.Readable}
	x.c.transport = b
	x.c.readParked()
	if b.wrong.Load() {
		t.Error("two goroutines use the connection")
	}
	x.ping()
}

// A connection that can no longer be watched is closed.
func TestAwaitReadFails(t *testing.T) {
	s := newSite(t)
	x := s.frames(t, ample)
	_, f := x.hold(s, "a")
	until(t, func() bool { x.c.mu.Lock(); defer x.c.mu.Unlock(); return !x.c.parked })
	x.c.transport = unwatched{x.p}
	x.c.readParked()
	<-f.over
}

type unwatched struct{ *plain }

func (unwatched) AwaitRead() error { return syscall.ENOSPC }
