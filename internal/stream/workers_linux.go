package stream

import (
	"container/list"
	"sync"
	"time"
)

const (
	// stuckAfter is how long a turn may take before its worker no longer counts as a shared one.
	stuckAfter = 50 * time.Millisecond
	// maxStuck is how many turns may be stuck at once.
	maxStuck = 1000
	// workersPerProcessor is how many shared workers there are for each processor at most.
	workersPerProcessor = 4
	// restAfter is how long there must be nothing to write before the shared workers end.
	restAfter = time.Second
)

// workers write to connections with TLS. A poll of the socket says whether there is room, but not whether a whole record fits, so
// crypto/tls may wait for the client all the same.
//
// All connections share a few workers. A worker that waits too long no longer counts as a shared one, and another takes its place.
// If too many wait, the connection that has waited longest is given up. A connection that was stuck in its last turn does not get a
// shared worker for the next.
type workers struct {
	shared int // the most shared workers at once
	most   int // the most stuck turns at once

	// mu guards what follows.
	mu      sync.Mutex
	more    *sync.Cond // signalled if the queue has grown
	queue   []*held
	count   int       // of shared workers
	idle    int       // of shared workers that wait for work
	active  list.List // the turns of shared workers, oldest first
	stuck   list.List // the turns that take too long, oldest first
	watched bool      // a call of check is due
	puts    uint64    // how often put was called
	resting bool      // a call of rest is due
	leaving int       // how many idle workers should end
}

// turn is one turn of writing to a connection.
type turn struct {
	held  *held
	begun time.Time
	in    *list.List // active or stuck; nil if it was given up
	place *list.Element
}

func newWorkers(shared, most int) *workers {
	p := &workers{shared: shared, most: most}
	p.more = sync.NewCond(&p.mu)
	return p
}

// put queues a connection to be written to.
func (p *workers) put(s *held) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.via.slow && p.stuck.Len() < p.most {
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

// begin records a turn that begins now. The caller holds mu.
func (p *workers) begin(s *held, in *list.List) *turn {
	t := &turn{held: s, begun: time.Now(), in: in}
	t.place = in.PushBack(t)
	return t
}

// work is the goroutine of a shared worker. It ends if there has been nothing to write for a while, or if it was stuck and another
// worker has taken its place.
func (p *workers) work() {
	var w writer
	for {
		t := p.next()
		if t == nil {
			return
		}
		r := w.run(&t.held.pipe)
		goOn := p.end(t)
		t.held.loop.giveBack(t.held, r)
		if !goOn {
			return
		}
	}
}

// apart runs a turn of a connection that was stuck the last time, on a goroutine of its own.
func (p *workers) apart(t *turn) {
	var w writer
	r := w.run(&t.held.pipe)
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

// restLater schedules a call of rest. The caller holds mu.
func (p *workers) restLater(puts uint64) {
	if !p.resting {
		p.resting = true
		time.AfterFunc(restAfter, func() { p.rest(puts) })
	}
}

// rest makes the idle workers end, unless put was called in the meantime.
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

// end ends a turn, and reports whether its worker is still a shared one, or is one again.
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

// note takes a turn out of its list, and records whether it was slow. The caller holds mu.
func (p *workers) note(t *turn) {
	if t.in != nil {
		t.in.Remove(t.place)
	}
	t.held.via.slow = time.Since(t.begun) >= stuckAfter
}

// watch schedules a call of check if the queue waits for a turn that may be stuck. The caller holds mu.
func (p *workers) watch() {
	oldest := p.active.Front()
	if p.watched || len(p.queue) == 0 || oldest == nil {
		return
	}
	p.watched = true
	time.AfterFunc(stuckAfter-time.Since(oldest.Value.(*turn).begun), p.check)
}

// check replaces workers that are stuck.
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
