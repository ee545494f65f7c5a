package hub

import "slices"

// Each calls visit for every connection there is. Those that come or go meanwhile may be left out.
func (h *Hub) Each(visit func(*Conn)) { h.each(visit) }

// Narrow unsubscribes the connection from the topics that are not granted any more, drops what waits for it
// by them alone, and tells the client by a gap. It reports whether there were any. Topics that an app has added are its own
// business.
func (c *Conn) Narrow(granted func(topic string) bool) bool {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	return c.narrow(func(topic string) bool { return !granted(topic) && !c.added(topic) }, 0)
}

// narrow unsubscribes the connection from the topics that are revoked, by the entry at a place of the window. It says a gap
// where something before that may be lost; where the place is 0, always. The caller holds shard.mu.
func (c *Conn) narrow(revoked func(topic string) bool, by uint64) bool {
	s := c.shard
	if c.place == gone || !slices.ContainsFunc(c.topics.list(), revoked) {
		return false
	}
	// The old topics stay as they are: others may share them, and the writer may be reading the window for them.
	c.resubscribe(newTopics(slices.DeleteFunc(slices.Clone(c.topics.all), revoked)))

	// Where all is complete: before what has yet to be sent, so that a client which is cut off now misses none of it.
	at := c.cursor
	switch {
	case len(c.pending()) > 0:
		at = c.pending()[0].seq - 1
	case c.live:
		at = max(at, s.cursor)
	}
	lost := by == 0 || !c.live && (c.cursor+1 < by || c.catchUp.inLog())
	if w := c.waiting; w != nil {
		in := c.interest()
		w.entries = slices.DeleteFunc(w.entries, func(e *entry) bool {
			if in.hears(e) || c.excluded(e) { // of those it misses nothing
				return false
			}
			c.charge(-e.size())
			lost = true
			return true
		})
		c.release()
	}
	p := s.hub.window.positionOf(at)
	if c.catchUp != nil {
		c.sift()
		p = c.catchUp.given()
	}
	if lost {
		if !p.IsZero() {
			c.sent = max(c.sent, at)
		}
		c.head(c.gap("lost", p, p))
	}
	return true
}
