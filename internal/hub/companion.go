package hub

import (
	"slices"

	"github.com/sse-push/caddy-sse-push/broker"
)

// Companion starts a hub on a log of its own, whose connections are connections of h as well. They count against its limits, share
// its budget of memory and are on its lists. Whoever is denied there is denied here, and what ends streams of a user, or a
// connection's, ends them in both. Topics, additions and events are each hub's own. Other nodes are told of the users of a
// companion, and of nothing else. The companion owns the broker, and is closed with h: do not close it.
func (h *Hub) Companion(name string, b broker.Broker, history History) *Hub {
	c := newHub(name, b, history)
	c.common, c.intake.foreign = h.common, true
	c.run()
	h.circle.mu.Lock()
	defer h.circle.mu.Unlock()
	if h.circle.closed {
		_ = c.shut()
		return c
	}
	all := append(slices.Clone(h.all()), c)
	h.circle.all.Store(&all)
	// What h heeds from now on, the companion follows. What came before must not be missed by a client that was looked up
	// earlier.
	c.missed(h.window.steeredUntil())
	return c
}

// missed has newcomers who were looked up before a place of the main hub's log come again.
func (h *Hub) missed(seq uint64) {
	for _, s := range h.shards {
		s.mu.Lock()
		s.steering.gone = max(s.steering.gone, seq)
		s.mu.Unlock()
	}
}

// InCompanion reports whether the connection is one of a companion.
func (c *Conn) InCompanion() bool { return c.shard.hub.accompanies() }

// steeredUntil returns the place of the newest entry that steers connections; 0 if there was none.
func (w *window) steeredUntil() uint64 {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if n := len(w.steered); n > 0 {
		return w.steered[n-1]
	}
	return w.steering
}
