package hub

import (
	"slices"

	"github.com/sse-push/caddy-sse-push/broker"
)

// Each calls visit for every connection there is. Those that come or go meanwhile may be left out.
func (h *Hub) Each(visit func(*Conn)) { h.each(visit) }

// Narrow unsubscribes the connection from the topics that are not granted any more, drops what waits for it
// by them alone, and tells the client by a gap. It reports whether there were any.
func (c *Conn) Narrow(granted func(topic string) bool) bool {
	s := c.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	revoked := func(topic string) bool { return !granted(topic) }
	if c.sets == nil || !slices.ContainsFunc(c.interest.topics, revoked) { // without sets, it has left
		return false
	}
	s.drop(c)
	// The old interest stays as it is: the writer may be reading the window for it.
	c.interest = newInterest(c.ID, c.User, slices.DeleteFunc(slices.Clone(c.interest.topics), revoked))
	s.put(c)

	// Where all is complete: before what has yet to be sent, so that a client which is cut off now misses none of it.
	at := c.cursor
	switch {
	case len(c.pending) > 0:
		at = c.pending[0].seq - 1
	case c.live:
		at = max(at, s.cursor)
	}
	pending := slices.DeleteFunc(c.pending, func(e *entry) bool { return !c.interest.hears(e) })
	var size int64
	for _, e := range pending {
		size += e.size()
	}
	if c.setPending(pending, size); len(pending) == 0 {
		c.reset()
	}
	p := c.hub.window.positionOf(at)
	if !p.IsZero() {
		c.sent = max(c.sent, at)
	}
	c.head = append(slices.Clip(c.head), c.gap("lost", p, p)...)
	c.signal()
	return true
}

// hears reports whether an entry is for this interest.
func (in *interest) hears(e *entry) bool {
	return slices.ContainsFunc(e.targets, func(t broker.Target) bool {
		return slices.Contains(in.targets, t) || t.Kind == broker.Topic &&
			slices.ContainsFunc(in.patterns, func(p string) bool { return Match(p, t.Name) })
	})
}
