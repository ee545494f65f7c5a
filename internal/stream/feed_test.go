package stream_test

import (
	"cmp"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/stream"
)

const limit = 30 * time.Second // how long a test waits for anything

type connKey struct{}

// feed is a source whose frames come from a test.
type feed struct {
	closed chan error
	single bool          // Next returns one frame at a time
	mute   chan struct{} // signalled for each heartbeat that it does not give; nil: it gives them

	mu     sync.Mutex // guards what follows
	frames [][]byte
	ended  bool
	broken error // what it ends with; nil for io.EOF
	waker  waker
}

// waker is what a source tells of frames.
type waker = interface{ Wake(now bool) }

func newFeed() *feed { return &feed{closed: make(chan error, 2)} }

func (f *feed) put(frames ...[]byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.frames = append(f.frames, frames...)
	if f.waker != nil {
		f.waker.Wake(false)
	}
}

// putNow is put for a caller on whose goroutine the stream may write.
func (f *feed) putNow(frame []byte) {
	f.mu.Lock()
	f.frames = append(f.frames, frame)
	waker := f.waker
	f.mu.Unlock()
	waker.Wake(true)
}

// end ends the source after its last frames. From then on, a client that takes nothing for a second is given up, as one may on a
// busy machine: a test that has much to read reads it before.
func (f *feed) end(last ...[]byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.frames = append(f.frames, last...)
	f.ended = true
	if f.waker != nil {
		f.waker.Wake(false)
	}
}

func (f *feed) Next(frames [][]byte, max int64) ([][]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.waker == nil {
		panic("asked for frames before it can wake: what comes in between would wait for the next")
	}
	var size int64
	for len(f.frames) > 0 && (size == 0 || !f.single && size+int64(len(f.frames[0])) <= max) {
		size += int64(len(f.frames[0]))
		frames = append(frames, f.frames[0])
		f.frames = f.frames[1:]
	}
	if f.ended && len(f.frames) == 0 {
		return frames, cmp.Or(f.broken, io.EOF)
	}
	return frames, nil
}

func (f *feed) Idle() []byte {
	if f.mute == nil {
		return []byte(":\n")
	}
	select {
	case f.mute <- struct{}{}:
	default:
	}
	return nil
}

func (f *feed) Ended() bool        { f.mu.Lock(); defer f.mu.Unlock(); return f.ended }
func (f *feed) OnWake(w waker)     { f.mu.Lock(); defer f.mu.Unlock(); f.waker = w }
func (f *feed) Close(reason error) { f.closed <- reason }
func (f *feed) wait(t *testing.T) (reason error) {
	t.Helper()
	select {
	case reason = <-f.closed:
	case <-time.After(limit):
		t.Fatal("the stream was not closed")
	}
	select {
	case <-f.closed:
		t.Error("closed twice")
	default:
	}
	return reason
}

var held = stream.NewTiming(time.Hour, time.Minute)
