package hub

import (
	"slices"
	"sync"

	"github.com/sse-push/caddy-sse-push/broker"
)

// shard holds a part of a hub's connections, with an index of what they hear, and takes entries to them on
// a goroutine of its own.
type shard struct {
	hub *Hub

	mu       sync.Mutex // guards all of this block, and what conn.go says of a Conn
	cursor   uint64     // every entry up to here has been taken to the live connections
	sets     map[broker.Target]*set
	patterns tree[*set]
	byName   map[string]*set // of patterns
	traffic  Traffic

	qmu    sync.Mutex // guards the queue
	queue  []*entry   // what deliver has handed over
	bytes  int64      // of the queue, and of what is being taken out of it
	closed bool
	more   *sync.Cond // the queue has grown, or closed
	room   *sync.Cond // the queue has shrunk, or closed
}

// maxQueue bounds, in bytes, what may wait for a shard: behind that, the log is read no further.
const maxQueue = 32 << 20

func newShard(h *Hub) *shard {
	s := &shard{hub: h, sets: map[broker.Target]*set{}, byName: map[string]*set{}}
	s.more, s.room = sync.NewCond(&s.qmu), sync.NewCond(&s.qmu)
	return s
}

// push hands entries over, and waits while the shard is too far behind.
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

		size := s.deliver(batch)

		s.qmu.Lock()
		s.bytes -= size
		s.room.Signal()
		s.qmu.Unlock()
	}
}

// deliver takes entries to the live connections that hear them.
func (s *shard) deliver(batch []*entry) (size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	budget := s.hub.pendingBudget.Load()
	for _, e := range batch {
		size += e.held()
		for _, t := range e.targets {
			if set := s.sets[t]; set != nil {
				set.deliver(e, budget)
			}
			if t.Kind == broker.Topic {
				s.patterns.covering(t.Name, func(set *set) { set.deliver(e, budget) })
			}
		}
		s.cursor = e.seq
	}
	return size
}

func (s *set) deliver(e *entry, budget int64) {
	for _, c := range s.members {
		c.deliver(e, budget)
	}
}

// add puts a connection into the index.
func (s *shard) add(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(c)
	c.countOpen(1)
}

// put takes a connection into the sets of its interest. The caller holds mu.
func (s *shard) put(c *Conn) {
	for _, t := range c.interest.targets {
		if s.sets[t] == nil {
			s.sets[t] = &set{}
		}
		s.sets[t].add(c)
	}
	for _, p := range c.interest.patterns {
		if s.byName[p] == nil {
			s.byName[p] = &set{}
			s.patterns.put(p, s.byName[p])
		}
		s.byName[p].add(c)
	}
}

// remove takes a connection out of every set.
func (s *shard) remove(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(c)
	c.setPending(nil, 0)
	c.live = false
	c.countOpen(-1)
}

// drop takes a connection out of its sets. The caller holds mu.
func (s *shard) drop(c *Conn) {
	for _, m := range c.sets {
		m.set.remove(m.place)
	}
	for _, t := range c.interest.targets {
		if len(s.sets[t].members) == 0 {
			delete(s.sets, t)
		}
	}
	for _, p := range c.interest.patterns {
		if len(s.byName[p].members) == 0 {
			delete(s.byName, p)
			s.patterns.remove(p)
		}
	}
	c.sets = nil
}

// list returns the connections that share a target.
func (s *shard) list(t broker.Target) []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if set := s.sets[t]; set != nil {
		return slices.Clone(set.members)
	}
	return nil
}
