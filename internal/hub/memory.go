package hub

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
)

// memory bounds what waits for all connections of a hub, in pending lists and in pages of the archive, together with the pages
// that the archive stores. A frame that waits for several connections is in memory once, so it is charged once. But to know
// that of every frame at every moment would cost more than delivering it. So memory always knows only the sum over the
// connections, which is never less than what is held. If the sum exceeds the budget, and so much has been added since the last
// count that the budget may be exceeded, it counts what is really held.
type memory struct {
	budget atomic.Int64 // 0 if there is none
	kept   atomic.Int64 // the part that connections keep for as long as they live
	sum    atomic.Int64 // of pending lists and pages, as last reported by each shard, and of stored pages
	added  atomic.Int64 // bytes added since the last count
	slack  atomic.Int64 // bytes that may be added before the next count

	mu    sync.Mutex // guards the block, and the counts in entries
	round uint32
	held  int64 // bytes that wait, each entry counted once
}

func (m *memory) configure(budget int64) {
	m.budget.Store(budget)
	m.slack.Store(0)
}

// share returns how much a shard may add before it reports.
func (m *memory) share(shards int) int64 {
	if budget := m.left(); budget > 0 {
		return budget / int64(16*shards)
	}
	return 1 << 62
}

// over records what a shard has added, and reports whether a count is due.
func (m *memory) over(delta, added int64) bool {
	budget := m.left()
	sum, all := m.sum.Add(delta), m.added.Add(added)
	return budget > 0 && sum > budget && all > m.slack.Load()
}

// tell reports to the hub's memory what has changed. The caller holds mu, which tell releases if the budget has to be enforced.
func (s *shard) tell() {
	m := &s.hub.memory
	over := m.over(s.traffic.Pending-s.told, s.grown)
	s.told, s.grown = s.traffic.Pending, 0
	if over {
		s.mu.Unlock()
		s.hub.main.relieve()
		s.mu.Lock()
	}
}

// relieve counts what is held. While it is too much, relieve drops the stored pages of the archive, and then the largest
// pending lists and pages.
func (h *Hub) relieve() {
	m := &h.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	budget := m.left()
	if !m.over(0, 0) { // another shard was first
		return
	}
	m.round++
	m.held = 0
	m.added.Store(0) // before the lists are counted: what is added meanwhile may count twice, but is never left out
	for _, one := range h.all() {
		m.count(one.archive.kept(false), 1)
	}
	lists := h.holding()
	// An eighth stays free after a count, so that the next one is not due at once.
	if m.held > budget-budget/8 {
		for _, one := range h.all() {
			m.count(one.archive.kept(true), -1)
		}
		slices.SortFunc(lists, func(a, b holding) int { return cmp.Compare(b.bytes, a.bytes) })
		for _, l := range lists {
			if m.held <= budget-budget/4 {
				break
			}
			l.conn.relieve()
		}
	}
	m.slack.Store(max(budget-m.held, budget/16)) // the first entries of pages stay, and may exceed the budget
}

// holding is a connection for which something waits.
type holding struct {
	conn  *Conn
	bytes int64
}

// holding counts what waits for connections, and returns them. The caller holds memory.mu.
func (h *Hub) holding() (list []holding) {
	for s := range h.everyShard() {
		s.mu.Lock()
		for _, c := range s.index.all {
			if len(c.pending()) > 0 {
				list = append(list, holding{c, c.waiting.bytes})
				h.memory.count(c.waiting.entries, 1)
			} else if pg := c.catchUp.page(); pg != nil {
				list = append(list, holding{c, pg.bytes})
				h.memory.count(pg.entries, 1)
			}
		}
		s.mu.Unlock()
	}
	return list
}

// relieve drops what waits for the connection. The caller holds memory.mu.
func (c *Conn) relieve() {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	m := &c.shard.hub.memory
	switch {
	case c.live && len(c.pending()) > 0:
		m.count(c.waiting.entries, -1)
		c.fallBack("memory")
		if pg := c.catchUp.page(); pg != nil {
			m.count(pg.entries, 1)
		}
	case c.catchUp.page() != nil:
		if dropped := c.putBack(); len(dropped) > 0 {
			m.count(dropped, -1)
			c.shard.hub.stats.catchups.add("memory")
		}
	}
}

// count counts a list of entries in (by 1) or out (by -1). The caller holds mu.
func (m *memory) count(entries []*entry, by int32) {
	for _, e := range entries {
		if e.round != m.round {
			if by < 0 {
				continue // it was added after the count
			}
			e.round, e.lists = m.round, 0
			m.held += e.size()
		}
		if e.lists += by; e.lists == 0 {
			m.held -= e.size()
		}
	}
}
