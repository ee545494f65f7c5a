package stream_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/stream"
)

// outlet is a stream.Outlet whose room a test decides on.
type outlet struct {
	handle stream.Handle
	ended  chan error

	mu   sync.Mutex // guards what follows
	got  bytes.Buffer
	room int
	full bool // Write has returned EAGAIN, and Room has not been called since
}

// adopt returns an outlet with a stream that writes to it.
func adopt(t *testing.T, src stream.Source, timing *stream.Timing, room int) *outlet {
	t.Helper()
	o := &outlet{ended: make(chan error, 2), room: room}
	var err error
	if o.handle, err = stream.Adopt(o, src, timing); err != nil {
		t.Fatal(err)
	}
	return o
}

func (o *outlet) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := min(o.room, len(b))
	o.got.Write(b[:n])
	o.room -= n
	if n < len(b) {
		o.full = true
		return n, syscall.EAGAIN
	}
	return n, nil
}

func (o *outlet) End(reason error) { o.ended <- reason }

// give makes room for n more bytes.
func (o *outlet) give(n int) {
	o.mu.Lock()
	o.room += n
	o.mu.Unlock()
	o.handle.Room()
}

func (o *outlet) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.got.String()
}

func (o *outlet) isFull() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.full
}

func (o *outlet) wait(t *testing.T) error {
	t.Helper()
	select {
	case reason := <-o.ended:
		return reason
	case <-time.After(limit):
		t.Fatal("the outlet was not ended")
		return nil
	}
}

// Frames of all sizes arrive unchanged, however little room there is at a time, and the end comes after the last byte.
func TestAdoptedBytes(t *testing.T) {
	f := newFeed()
	o := adopt(t, f, held, 0)
	var want strings.Builder
	for i, size := range []int{1, 5, 16 << 10, 16<<10 + 1, 1 << 20, 3, 100_000, 7} {
		frame := strings.Repeat(string(rune('a'+i)), size)
		want.WriteString(frame)
		f.put([]byte(frame))
	}
	f.end()
	given := 0
	for size := 1; given < want.Len(); size = min(2*size, 50_000) {
		o.give(size)
		given += size
		brokertest.Eventually(t, "the room is used up", func() bool { return len(o.text()) == min(given, want.Len()) })
	}
	if err := o.wait(t); err != nil {
		t.Errorf("ended with %v", err)
	}
	if err := f.wait(t); err != nil {
		t.Errorf("closed with %v", err)
	}
	if o.text() != want.String() {
		t.Errorf("got %d bytes, want %d", len(o.text()), want.Len())
	}
}

// Nothing is written before the handle's first use.
func TestAdoptedBegins(t *testing.T) {
	f := newFeed()
	o := adopt(t, f, held, 100)
	f.put([]byte("early"))
	other := newFeed() // of the same loop, sooner or later
	for range 64 {
		p := adopt(t, other, held, 100)
		p.handle.Left(errors.New("enough"))
		other.wait(t)
	}
	if got := o.text(); got != "" {
		t.Errorf("got %q", got)
	}
	o.handle.Room()
	brokertest.Eventually(t, "it is written", func() bool { return o.text() == "early" })
	o.handle.Left(errors.New("enough"))
	f.wait(t)
}

func TestAdoptedHeartbeat(t *testing.T) {
	t.Parallel()
	f := newFeed()
	o := adopt(t, f, stream.NewTiming(time.Second, time.Minute), 1000)
	o.handle.Room()
	brokertest.Eventually(t, "heartbeats come", func() bool { return strings.HasPrefix(o.text(), ":\n:\n") })
	f.end()
	if err := o.wait(t); err != nil {
		t.Errorf("ended with %v", err)
	}
}

// A client that takes nothing is given up after the timeout, or soon after the source has ended.
func TestAdoptedWithoutRoom(t *testing.T) {
	t.Parallel()
	f := newFeed()
	o := adopt(t, f, stream.NewTiming(time.Hour, time.Second), 10)
	ending := newFeed()
	e := adopt(t, ending, held, 10)
	for _, o := range []*outlet{o, e} {
		o.handle.Room()
	}
	f.put(make([]byte, 100))
	ending.put(make([]byte, 100))
	brokertest.Eventually(t, "both are full", func() bool { return o.isFull() && e.isFull() })
	ending.end()
	for _, o := range []*outlet{o, e} {
		if err := o.wait(t); err == nil || !strings.Contains(err.Error(), "too long") {
			t.Errorf("ended with %v", err)
		}
	}
	f.wait(t)
	ending.wait(t)
}

// A client that leaves ends its stream, whatever else is going on, and the outlet hears no more of it.
func TestAdoptedLeaves(t *testing.T) {
	left := errors.New("reset")
	for range 200 {
		f := newFeed()
		o := adopt(t, f, held, 1000)
		var doing sync.WaitGroup
		doing.Go(func() {
			for range 20 {
				f.put([]byte("some"))
				o.handle.Room()
			}
		})
		doing.Go(func() { o.handle.Left(left) })
		doing.Wait()
		if err := f.wait(t); err != left {
			t.Errorf("closed with %v", err)
		}
		o.handle.Room()
		o.handle.Left(left)
	}
	f := newFeed()
	o := adopt(t, f, held, 1000)
	o.handle.Left(left)
	f.wait(t)
	if len(o.ended) > 0 {
		t.Error("the outlet was ended, though its client has left")
	}
}

// What a publisher brings is written on its own goroutine if the loop is not at work. Whoever writes, nothing is lost, written twice
// or out of order.
func TestWrittenNow(t *testing.T) {
	f := newFeed()
	o := adopt(t, f, stream.NewTiming(time.Second, time.Minute), 1<<20)
	o.handle.Room()
	f.put([]byte("first\n"))
	brokertest.Eventually(t, "the stream has begun", func() bool { return o.text() == "first\n" })
	brokertest.Eventually(t, "a frame is written at once", func() bool {
		f.putNow([]byte("now\n"))
		return strings.HasSuffix(o.text(), "now\n")
	})
	var publishers sync.WaitGroup
	const several, each = 4, 500
	for p := range several {
		publishers.Go(func() {
			for i := range each {
				if frame := fmt.Appendf(nil, "%d:%d\n", p, i); i%10 == 0 {
					f.put(frame)
				} else {
					f.putNow(frame)
				}
			}
		})
	}
	publishers.Wait()
	f.end()
	if err := o.wait(t); err != nil {
		t.Errorf("ended with %v", err)
	}
	var next [several]int
	for line := range strings.Lines(o.text()) {
		var p, i int
		if n, _ := fmt.Sscanf(line, "%d:%d\n", &p, &i); n < 2 {
			continue // one of the first, or a heartbeat
		}
		if i != next[p] {
			t.Fatalf("publisher %d: %d comes in place of %d", p, i, next[p])
		}
		next[p]++
	}
	if next != [several]int{each, each, each, each} {
		t.Errorf("written %v", next)
	}
}
