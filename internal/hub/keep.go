package hub

const (
	// freeKeep is what a connection may keep without being charged for it, in bytes: that much is bounded by how many
	// connections there may be.
	freeKeep = 1 << 10
	// keepTopic is what a topic takes beside its name: its places in the index and in the connection.
	keepTopic = 160
)

// keep is what a connection with some topics keeps for as long as it lives, in bytes; own is what its Route takes. Where
// there are other nodes, the names stand in the reports to them as well. Topics that connections share are charged to each:
// whether they are shared is up to clients.
func (h *Hub) keep(own int64, topics []string) int64 {
	n := own
	for _, t := range topics {
		n += int64(len(t)) + keepTopic
		if h.nodes != nil {
			n += int64(len(t)) + keepTopic
		}
	}
	return max(0, n-freeKeep)
}

// take charges a newcomer for what it keeps, and reports whether there is room for it: up to half of the budget, so that
// the rest is left for what waits for connections. One that keeps little is always taken.
func (m *memory) take(bytes int64) bool {
	if bytes == 0 {
		return true
	}
	budget := m.budget.Load()
	if n := m.kept.Add(bytes); budget > 0 && n > budget/2 {
		m.kept.Add(-bytes)
		return false
	}
	return true
}

// left is how much of the budget is left for what waits for connections; 0: there is no budget.
func (m *memory) left() int64 {
	budget := m.budget.Load()
	return max(budget-m.kept.Load(), budget/2)
}

// resubscribe gives the connection other topics, and charges it for them. The caller holds shard.mu.
func (c *Conn) resubscribe(t *topics) {
	h := c.shard.hub
	c.shard.index.unsubscribe(c)
	h.memory.kept.Add(h.keep(int64(c.own), t.list()) - c.keeps())
	c.topics = t
	c.shard.index.subscribe(c)
}

// keeps is what the connection is charged for. The caller holds shard.mu.
func (c *Conn) keeps() int64 { return c.shard.hub.keep(int64(c.own), c.topics.list()) }
