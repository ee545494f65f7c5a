package hub

import (
	"slices"

	"github.com/sse-push/caddy-sse-push/broker"
)

// Held returns how many bytes wait for connections, or are kept for those that catch up, each event counted once.
func (h *Hub) Held() (bytes int64) {
	seen := map[*entry]bool{}
	for _, e := range h.archive.kept(false) {
		seen[e] = true
		bytes += e.size()
	}
	for _, s := range h.shards {
		s.mu.Lock()
		for _, c := range s.index.all {
			waiting := slices.Clone(c.pending())
			if pg := c.catchUp.page(); pg != nil {
				waiting = append(waiting, pg.entries...)
			}
			for _, e := range waiting {
				if !seen[e] {
					bytes += e.size()
				}
				seen[e] = true
			}
		}
		s.mu.Unlock()
	}
	return bytes
}

// Shards returns how many shards the connections are spread over.
func (h *Hub) Shards() int { return len(h.shards) }

// Waiting returns how many events wait for the connection.
func (c *Conn) Waiting() int {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	return len(c.pending())
}

// Left returns how many entries there are in the indexes of connections.
func (h *Hub) Left() (n int) {
	for _, s := range h.shards {
		s.mu.Lock()
		x := &s.index
		n += len(x.all) + len(x.ids) + len(x.twins) + len(x.users) + len(x.names) + len(x.byName) + len(x.patterns.children)
		m := &x.matched
		n += len(m.names) + len(m.patterns.patterns) + len(m.patterns.spaces) + m.granted
		s.mu.Unlock()
	}
	h.repertoire.mu.Lock()
	defer h.repertoire.mu.Unlock()
	return n + len(h.repertoire.patterns) + len(h.repertoire.brought) + h.repertoire.effort
}

// Covering returns which of the patterns in an index cover a topic, as often as the index finds them.
func Covering(topic string, patterns ...string) (found []string) {
	var index tree[string]
	for _, p := range patterns {
		index.put(p, p)
	}
	index.covering(topic, func(p string) { found = append(found, p) })
	slices.Sort(found)
	return found
}

// Followed returns what is left of receipts: those that are open, and what connections still have to report to them.
func (h *Hub) Followed() (n int) {
	for _, s := range h.shards {
		s.mu.Lock()
		n += len(s.owed)
		s.mu.Unlock()
	}
	rs := &h.window.receipts
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return n + len(rs.byNumber) + int(rs.followed.Load())
}

// Traced returns how many ended connections are remembered, and the most bytes that a shard takes for them.
func (h *Hub) Traced() (n, bytes int) {
	for _, s := range h.shards {
		s.trace.mu.Lock()
		n, bytes = n+len(s.trace.ended), max(bytes, s.trace.bytes)
		s.trace.mu.Unlock()
	}
	return n, bytes
}

// Places are a position's places in the window, by name.
var Places = map[string]place{"within": within, "older": older, "newer": newer, "between": between, "foreign": foreign}

// Decided reports whether there is a decision for each place and standing.
func Decided() bool {
	for _, row := range decisions {
		for _, d := range row {
			if d == 0 {
				return false
			}
		}
	}
	return len(decisions) == len(Places)
}

// PlaceOf returns the name of a position's place in the window.
func (h *Hub) PlaceOf(p broker.Position) string {
	_, at := h.window.locate(p)
	for name, place := range Places {
		if place == at {
			return name
		}
	}
	return ""
}

// MixUp gives most names the same key as others in the index. It must be called before the first Subscribe.
func (h *Hub) MixUp() {
	for _, s := range h.shards {
		s.mu.Lock()
		s.index.mask = 1
		s.mu.Unlock()
	}
}
