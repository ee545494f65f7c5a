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

// take reports whether there is a permit for a stream. If there is none, it queues the stream, and begin is called once there is one.
func (p *permits) take(o *quicStream) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.free == 0 {
		p.queue = append(p.queue, o)
		return false
	}
	p.free--
	return true
}

// end gives a permit back. The next stream gets it.
func (p *permits) end() {
	for {
		o := p.next()
		if o == nil || o.begin() {
			return
		}
	}
}

// next takes the next stream from the queue. If there is none, the permit is free.
func (p *permits) next() *quicStream {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 {
		p.free++
		return nil
	}
	o := p.queue[0]
	p.queue[0] = nil
	if p.queue = p.queue[1:]; len(p.queue) == 0 {
		p.queue = nil
	}
	return o
}
