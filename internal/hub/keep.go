package hub

const (
	// freeKeep is what a connection may keep without being charged, in bytes. The limit of connections bounds that much.
	freeKeep = 1 << 10
	// keepTopic is what a topic takes besides its name: its places in the index and in the connection.
	keepTopic = 160
)

// keep returns how many bytes a connection is charged for as long as it lives. own is the size of its Attachment. If there are other
// nodes, the names of topics are in the reports to them as well. Shared topics are charged to each connection, as it is up to
// clients whether they are shared.
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

// take charges a new connection for what it keeps, and reports whether there is room. Connections may keep up to half of the
// budget, so that the rest is left for what waits for them. One that keeps little is always taken.
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

// left returns how much of the budget is left for what waits for connections; 0 if there is no budget.
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

// keeps returns what the connection is charged for. The caller holds shard.mu.
func (c *Conn) keeps() int64 { return c.shard.hub.keep(int64(c.own), c.topics.list()) }
