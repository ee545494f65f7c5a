package hub

import (
	"context"
	"slices"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/rules"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

// extra holds what only few connections have.
type extra struct {
	claim  *claim // to its id; nil if there are no other nodes, or the id was generated for the connection
	topics []addition
}

// claimed returns a connection's claim to its id.
func (c *Conn) claimed() *claim {
	if c.extra == nil {
		return nil
	}
	return c.extra.claim
}

// addition is a topic that an app has added, and the place of the log after which it is heard.
type addition struct {
	topic string
	seq   uint64 // 0 if it is before the window
	pos   broker.Position
	kept  uint64 // the newest place at which the log says so of this connection; 0 if it does so only of its user
	at    time.Time
}

// added reports whether an app has added a topic. The caller holds shard.mu.
func (c *Conn) added(topic string) bool { return c.addition(topic) != nil }

func (c *Conn) addition(topic string) *addition {
	if c.extra == nil {
		return nil
	}
	i := slices.IndexFunc(c.extra.topics, func(a addition) bool { return a.topic == topic })
	if i < 0 {
		return nil
	}
	return &c.extra.topics[i]
}

// early reports whether the connection hears an entry only through topics that were added after it. A connection that catches
// up may read such entries. The caller holds shard.mu.
func (c *Conn) early(e *entry) bool {
	if c.extra == nil || len(c.extra.topics) == 0 {
		return false
	}
	return !slices.ContainsFunc(e.targets, func(t broker.Target) bool {
		if t.Kind != broker.Topic {
			return c.interest().meets([]broker.Target{t})
		}
		return slices.ContainsFunc(c.topics.list(), func(own string) bool {
			a := c.addition(own)
			return rules.Match(own, t.Name) && (a == nil || !c.shard.hub.window.precedes(e, a.seq, a.pos))
		})
	})
}

// precedes reports whether an entry is at or before a place.
func (w *window) precedes(e *entry, seq uint64, p broker.Position) bool {
	switch {
	case e.seq != 0:
		return e.seq <= seq
	case e.pos.Epoch == p.Epoch: // the entry was read from the archive
		return e.pos.Compare(p) <= 0
	}
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.rank(e.pos.Epoch) < w.rank(p.Epoch)
}

// join subscribes the connection to topics, from an entry on. The caller holds shard.mu.
func (c *Conn) join(topics []string, e *entry) {
	kept := uint64(0)
	if slices.Contains(e.control.targets, broker.Target{Kind: broker.Connection, Name: c.ID}) {
		kept = e.seq
	}
	for _, t := range topics {
		if a := c.addition(t); a != nil {
			a.kept = max(a.kept, kept)
		}
	}
	if c.matches || e.repeats() { // topics that it no longer has were taken away meanwhile
		return
	}
	list := slices.Clone(c.topics.list())
	var more []string
	for _, t := range topics {
		if !slices.Contains(list, t) && !slices.Contains(more, t) {
			more = append(more, t)
		}
	}
	if len(more) == 0 || c.ended || c.place == gone {
		return
	}
	c.resubscribe(c.shard.hub.topicCache.of(append(list, more...)))
	if c.extra == nil {
		c.extra = &extra{}
	}
	for _, t := range more {
		c.extra.topics = append(c.extra.topics, addition{t, e.seq, e.pos, kept, e.at})
	}
	c.shard.keep(c)
	c.tellTopics()
}

// leave takes away, from an entry on, what covers one of the topics or is covered by one. The caller holds shard.mu.
func (c *Conn) leave(topics []string, e *entry) {
	revoked := func(own string) bool {
		return slices.ContainsFunc(topics, func(t string) bool { return revokes(t, own) })
	}
	if c.ended || c.matches || !c.narrow(revoked, e.seq) {
		return
	}
	if c.extra != nil {
		c.extra.topics = slices.DeleteFunc(c.extra.topics, func(a addition) bool { return revoked(a.topic) })
		if len(c.extra.topics) == 0 {
			c.shard.unkeep(c)
		}
	}
	c.tellTopics()
}

// tellTopics tells the client what it is now subscribed to. The caller holds shard.mu.
func (c *Conn) tellTopics() {
	data := struct {
		Topics []string `json:"topics"`
	}{append([]string{}, c.topics.list()...)}
	c.head(sse.Event{Type: "sse:topics", Data: encode(data)}.Append(nil))
}

// Narrow unsubscribes the connection from topics that are no longer granted, drops what waits for it only because of them, and
// sends a gap. It reports whether there were such topics. Topics that an app has added stay, and so do matchers, which are no topics.
func (c *Conn) Narrow(granted func(topic string) bool) bool {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	return !c.matches && c.narrow(func(topic string) bool { return !granted(topic) && !c.added(topic) }, 0)
}

// narrow unsubscribes the connection from revoked topics. by is the place of the entry that revokes them: the connection gets a
// gap if something before it may be missing. If by is 0, it always gets one. The caller holds shard.mu.
func (c *Conn) narrow(revoked func(topic string) bool, by uint64) bool {
	s := c.shard
	if c.place == gone || !slices.ContainsFunc(c.topics.list(), revoked) {
		return false
	}
	// The old topics stay unchanged: other connections may share them, and the writer may be reading the window with them.
	c.resubscribe(newTopics(slices.DeleteFunc(slices.Clone(c.topics.all), revoked)))

	// The gap goes to where the client has everything: before what has yet to be sent, so that a client that is cut off now
	// misses none of it.
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
			if in.hears(e) || c.excluded(e) { // it misses none of these
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

// Join subscribes a connection, or those that a user has now, to topics, on any node. They hear them from this place of the log
// on. It reports false in the way of Disconnect.
func (h *Hub) Join(ctx context.Context, t broker.Target, topics []string) (bool, error) {
	return h.turn(ctx, broker.Join, t, topics)
}

// Leave unsubscribes a connection, or those that a user has now, from topics, and from every pattern through which they hear
// one of them. They hear nothing of it that is published after this. It reports false in the way of Disconnect.
func (h *Hub) Leave(ctx context.Context, t broker.Target, topics []string) (bool, error) {
	return h.turn(ctx, broker.Leave, t, topics)
}

// turn appends a Join or a Leave, unless there is surely no such connection.
func (h *Hub) turn(ctx context.Context, kind broker.Kind, t broker.Target, topics []string) (bool, error) {
	if h.nodes == nil {
		if err := h.settle(ctx); err != nil {
			return false, err
		}
	}
	if t.Kind == broker.Connection && h.nodes == nil && h.connection(t.Name) == nil && !h.additions.has(t.Name) {
		return false, nil
	}
	return true, h.steer(ctx, broker.Record{Kind: kind, Targets: []broker.Target{t}, Topics: topics})
}
