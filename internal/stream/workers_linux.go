package stream

import (
	"container/list"
	"sync"
	"time"
)

const (
	// stuckAfter is how long a turn may take before its worker no longer counts as one of the shared ones.
	stuckAfter = 50 * time.Millisecond
	// maxStuck is how many turns may be stuck at once.
	maxStuck = 1000
	// workersPerProcessor is how many shared workers there are for each processor at most.
	workersPerProcessor = 4
	// restAfter is how long nothing has to be written before the shared workers end.
	restAfter = time.Second
)

// workers write to connections with TLS. A poll of the socket says whether there is room, but not whether a whole record
// fits: so crypto/tls may wait for the client all the same. A few workers are shared by all connections. One that waits
// too long is no longer counted among them, and another takes its place; where too many wait, the one that has waited
// longest closes its connection. A connection that was stuck in its last turn does not get a shared worker for the next.
type workers struct {
	shared int // how many there are at most that are not stuck
	most   int // how many may be stuck

	mu      sync.Mutex // guards the block
	more    *sync.Cond // the queue has grown
	queue   []*held
	count   int       // of shared workers
	idle    int       // of these, how many wait for work
	active  list.List // the turns of shared workers, oldest first
	stuck   list.List // those that take too long, oldest first
	watched bool      // check is to be called
	puts    uint64    // how often put was called
	resting bool      // rest is to be called
	leaving int       // how many idle workers are to end
}

// turn is a worker's turn of writing.
type turn struct {
	held  *held
	begun time.Time
	in    *list.List // active or stuck; nil: it was cut off
	place *list.Element
}

func newWorkers(shared, most int) *workers {
	p := &workers{shared: shared, most: most}
	p.more = sync.NewCond(&p.mu)
	return p
}

// put has a connection written to.
func (p *workers) put(s *held) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.tls.slow && p.stuck.Len() < p.most {
		go p.apart(p.begin(s, &p.stuck))
		return
	}
	p.queue = append(p.queue, s)
	p.puts++
	p.leaving = 0
	switch {
	case p.idle > 0:
		p.more.Signal()
	case p.count < p.shared:
		p.start()
	default:
		p.watch()
	}
}

// start adds a shared worker. The caller holds mu.
func (p *workers) start() {
	p.count++
	go p.work()
}

// begin notes a turn that begins now. The caller holds mu.
func (p *workers) begin(s *held, in *list.List) *turn {
	t := &turn{held: s, begun: time.Now(), in: in}
	t.place = in.PushBack(t)
	return t
}

// work is a shared worker. It ends when there has been nothing to write for a while, and when it was stuck and another one
// has its place.
func (p *workers) work() {
	var w writer
	for {
		t := p.next()
		if t == nil {
			return
		}
		r := w.run(t.held)
		goOn := p.end(t)
		t.held.loop.giveBack(t.held, r)
		if !goOn {
			return
		}
	}
}

// apart is a turn of a connection that was stuck the last time.
func (p *workers) apart(t *turn) {
	var w writer
	r := w.run(t.held)
	p.mu.Lock()
	p.note(t)
	p.mu.Unlock()
	t.held.loop.giveBack(t.held, r)
}

// next waits for the next connection to write to. It returns nil if the worker is to end.
func (p *workers) next() *turn {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.queue) == 0 {
		if p.leaving > 0 {
			p.leaving--
			p.count--
			return nil
		}
		p.idle++
		p.restLater(p.puts)
		p.more.Wait()
		p.idle--
	}
	s := p.queue[0]
	p.queue[0] = nil
	if p.queue = p.queue[1:]; len(p.queue) == 0 {
		p.queue = nil
	}
	t := p.begin(s, &p.active)
	p.watch()
	return t
}

// restLater has rest called. The caller holds mu.
func (p *workers) restLater(puts uint64) {
	if !p.resting {
		p.resting = true
		time.AfterFunc(restAfter, func() { p.rest(puts) })
	}
}

// rest has the idle workers end, if nothing was put since.
func (p *workers) rest(puts uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.resting = false
	switch {
	case p.idle == 0:
	case p.puts != puts:
		p.restLater(p.puts)
	default:
		p.leaving = p.idle
		p.more.Broadcast()
	}
}

// end ends a turn of work, and reports whether its worker is a shared one still or again.
func (p *workers) end(t *turn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	wasShared := t.in == &p.active
	p.note(t)
	if wasShared {
		return true
	}
	if p.count == p.shared {
		return false
	}
	p.count++
	return true
}

// note takes a turn out of its list, and remembers whether it was a slow one. The caller holds mu.
func (p *workers) note(t *turn) {
	if t.in != nil {
		t.in.Remove(t.place)
	}
	t.held.tls.slow = time.Since(t.begun) >= stuckAfter
}

// watch sees to it that those in the queue do not wait for a turn that is stuck. The caller holds mu.
func (p *workers) watch() {
	oldest := p.active.Front()
	if p.watched || len(p.queue) == 0 || oldest == nil {
		return
	}
	p.watched = true
	time.AfterFunc(stuckAfter-time.Since(oldest.Value.(*turn).begun), p.check)
}

// check replaces the workers that are stuck.
func (p *workers) check() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.watched = false; len(p.queue) == 0 {
		return
	}
	for e := p.active.Front(); e != nil && time.Since(e.Value.(*turn).begun) >= stuckAfter; e = p.active.Front() {
		t := p.active.Remove(e).(*turn)
		t.in, t.place = &p.stuck, p.stuck.PushBack(t)
		p.count--
	}
	for p.stuck.Len() > p.most {
		t := p.stuck.Remove(p.stuck.Front()).(*turn)
		t.in = nil
		t.held.hurry()
	}
	for n := len(p.queue) - p.idle; n > 0 && p.count < p.shared; n-- {
		p.start()
	}
	p.watch()
}
