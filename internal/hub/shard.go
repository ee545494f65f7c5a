package hub

import (
	"slices"
	"sync"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// visitChunk is how many connections are looked at while the lock is held.
const visitChunk = 1_000

// fewPatterns is how many patterns are tried with a topic without giving up the lock.
const fewPatterns = 100

// shard holds part of a hub's connections, with an index of what they hear, and takes entries to them on a goroutine of its
// own.
type shard struct {
	hub *Hub

	mu      sync.Mutex // guards this block and the next, and the fields of a Conn that conn.go names
	cursor  uint64     // everything up to here has been taken to the live connections
	aged    uint64     // window.aged as of the last delivery
	index   index
	traffic Traffic
	grown   int64                // bytes added to traffic.Pending since told was set
	told    int64                // traffic.Pending as last reported to memory
	owed    map[*Conn][]*Receipt // receipts that wait for a connection; nil if there were none so far
	defers  bool                 // the writers to be woken are added to woken
	woken   []Waker              // emptied by deliver, after mu

	steering steering
	kept     map[*Conn]struct{} // connections with additions that the keeper looks after
	stalled  []*Conn            // connections that sleep until the shard has come further

	trace trace

	qmu    sync.Mutex // guards the queue
	queue  []*entry   // entries that push has handed over
	bytes  int64      // the size of the queue, and of what deliver is at
	closed bool
	more   *sync.Cond // the queue has grown, or closed
	room   *sync.Cond // the queue has shrunk, or closed
}

// maxQueue bounds the bytes that may wait for a shard. Past it, the log is not read any further.
const maxQueue = 32 << 20

func newShard(h *Hub) *shard {
	s := &shard{hub: h, index: newIndex()}
	s.more, s.room = sync.NewCond(&s.qmu), sync.NewCond(&s.qmu)
	return s
}

// push queues entries, and waits while the shard is too far behind.
func (s *shard) push(entries []*entry) {
	var size int64
	for _, e := range entries {
		size += e.held()
	}
	s.qmu.Lock()
	defer s.qmu.Unlock()
	for s.bytes > maxQueue && !s.closed {
		s.room.Wait()
	}
	s.queue = append(s.queue, entries...)
	s.bytes += size
	s.more.Signal()
}

// idle reports whether the queue is empty and nothing is being delivered. The caller may then deliver itself.
func (s *shard) idle() bool {
	s.qmu.Lock()
	defer s.qmu.Unlock()
	return s.bytes == 0
}

// close ends run once the queue is empty.
func (s *shard) close() {
	s.qmu.Lock()
	defer s.qmu.Unlock()
	s.closed = true
	s.more.Signal()
	s.room.Signal()
}

// run takes entries to connections until the shard is closed.
func (s *shard) run() {
	var batch []*entry
	for {
		s.qmu.Lock()
		for len(s.queue) == 0 && !s.closed {
			s.more.Wait()
		}
		if len(s.queue) == 0 {
			s.qmu.Unlock()
			return
		}
		clear(batch)
		batch, s.queue = s.queue, batch[:0]
		s.qmu.Unlock()

		size := s.deliver(batch, false)

		s.qmu.Lock()
		s.bytes -= size
		s.room.Signal()
		s.qmu.Unlock()
	}
}

// deliver takes entries to the live connections that hear them. With now, writers may write on this goroutine, which costs less than
// to wake theirs.
func (s *shard) deliver(batch []*entry, now bool) (size int64) {
	pending, share := s.hub.pendingBudget.Load(), s.hub.memory.share(len(s.hub.shards))
	aged := s.hub.window.aged(time.Now())
	s.mu.Lock()
	s.aged, s.defers = aged, now
	for _, e := range batch {
		size += e.held()
		found := s.find(e)
		s.index.hearers(e, found, func(c *Conn) { c.deliver(e, pending) })
		if e.receipt != nil {
			e.receipt.passed()
		}
		if e.control != nil {
			s.obey(e)
		}
		s.cursor = e.seq
		if s.grown > share {
			s.tell() // releases mu meanwhile
		}
	}
	s.tell()
	s.resume()
	s.defers = false
	s.mu.Unlock()
	for _, w := range s.woken {
		w.Wake(true)
	}
	clear(s.woken)
	s.woken = s.woken[:0]
	return size
}

// add puts a connection into the index, and has it obey what has come since arrived.
func (s *shard) add(c *Conn, arrived uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index.add(c)
	c.countOpen(1)
	if c.extra != nil && len(c.extra.topics) > 0 {
		s.keep(c)
	}
	reached := s.cursor
	if s.hub.accompanies() {
		reached = arrived // follow is ahead of Hub.Arrived
	}
	s.steering.admit(c, arrived, reached)
}

// remove takes a connection out of the index, and reports whether its place in the admission is still to be given up.
func (s *shard) remove(c *Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index.remove(c)
	s.hub.memory.kept.Add(-c.keeps())
	s.unkeep(c)
	s.fail(c)
	c.live = false
	c.drop()
	c.dropPage()
	c.countOpen(-1)
	return c.vacate()
}

// find returns the sets of the patterns that match an entry, each once. The caller, deliver, holds mu, which find gives up while it tries
// many patterns: that takes long, and writers wait. A connection that goes live meanwhile was in the index before, or has read the entry in
// the window.
func (s *shard) find(e *entry) (found []*set) {
	m := &s.index.matched
	if m.patterns.size() == 0 || !m.audible(e) {
		return nil
	}
	var likely []*indexed[*set]
	for _, t := range e.targets {
		if t.Kind != broker.Topic {
			continue
		}
		likely = likely[:0]
		m.patterns.likely(t.Name, func(i *indexed[*set]) { likely = append(likely, i) })
		many := len(likely) > fewPatterns
		if many {
			s.mu.Unlock()
		}
		for _, i := range likely {
			if i.seen != e.seq && i.pattern.Match(t.Name) {
				i.seen = e.seq
				found = append(found, i.value)
			}
		}
		if many {
			s.mu.Lock()
		}
	}
	return found
}

// list returns the connections that a target names.
func (s *shard) list(t broker.Target) (list []*Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.Kind == broker.Broadcast { // in one go: there may be a hundred thousand
		return slices.Clone(s.index.all)
	}
	s.index.visit(t, func(c *Conn) { list = append(list, c) })
	return list
}
