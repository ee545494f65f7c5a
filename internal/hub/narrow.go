package hub

import "slices"

// Each calls visit for every connection there is. Those that come or go meanwhile may be left out.
func (h *Hub) Each(visit func(*Conn)) { h.each(visit) }

// Narrow unsubscribes the connection from the topics that are not granted any more, drops what waits for it
// by them alone, and tells the client by a gap. It reports whether there were any.
func (c *Conn) Narrow(granted func(topic string) bool) bool {
	s := c.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	revoked := func(topic string) bool { return !granted(topic) }
	if c.place == gone || !slices.ContainsFunc(c.topics.list(), revoked) {
		return false
	}
	s.index.unsubscribe(c)
	// The old topics stay as they are: others may share them, and the writer may be reading the window for them.
	c.topics = newTopics(slices.DeleteFunc(slices.Clone(c.topics.all), revoked))
	s.index.subscribe(c)

	// Where all is complete: before what has yet to be sent, so that a client which is cut off now misses none of it.
	at := c.cursor
	switch {
	case len(c.pending()) > 0:
		at = c.pending()[0].seq - 1
	case c.live:
		at = max(at, s.cursor)
	}
	w := c.wait()
	in := c.interest()
	w.entries = slices.DeleteFunc(w.entries, func(e *entry) bool {
		if in.hears(e) {
			return false
		}
		c.charge(-e.size())
		return true
	})
	p := s.hub.window.positionOf(at)
	if c.past != nil && !c.past.joined {
		p = c.past.at
	}
	if !p.IsZero() {
		c.sent = max(c.sent, at)
	}
	w.head = append(slices.Clip(w.head), c.gap("lost", p, p)...)
	c.signal()
	return true
}
