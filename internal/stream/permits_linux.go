package stream

import (
	"runtime"
	"sync"
)

// permits bounds how many streams of HTTP/3 have a goroutine that writes. One that takes too long no longer counts.
type permits struct {
	mu    sync.Mutex // guards what follows
	free  int
	queue []*quicStream
}

var thePermits = permits{free: workersPerProcessor * runtime.GOMAXPROCS(0)}

// take reports whether there is a permit for a stream. If not, its begin is called when there is one.
func (t *permits) take(o *quicStream) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.free == 0 {
		t.queue = append(t.queue, o)
		return false
	}
	t.free--
	return true
}

// end gives a permit back. The next stream gets it.
func (t *permits) end() {
	for {
		o := t.next()
		if o == nil || o.begin() {
			return
		}
	}
}

// next takes the next stream from the queue. If there is none, the permit is free.
func (t *permits) next() *quicStream {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.queue) == 0 {
		t.free++
		return nil
	}
	o := t.queue[0]
	t.queue[0] = nil
	if t.queue = t.queue[1:]; len(t.queue) == 0 {
		t.queue = nil
	}
	return o
}
