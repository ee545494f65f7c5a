package hub

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// trace remembers what a shard's connections do not show themselves, to explain later why an event did or did not come:
// connections that have ended, gaps that were sent, and events that were not. It is small: what is new replaces what is oldest.
type trace struct {
	mu     sync.Mutex // guards all below
	ended  []trail    // oldest first
	bytes  int        // of ended
	gaps   ring[gapNote]
	passed ring[passNote]
}

const (
	maxEnded      = 4_000
	maxEndedBytes = 1 << 20
	maxNotes      = 1_000
)

// trail is what a trace knows of a connection, open or ended: it was given everything it hears after from, up to upTo.
type trail struct {
	id, user     string
	attached     Attachment
	topics       *topics
	since, until time.Time // until is zero if it is open
	reason       string    // why it has ended
	from, upTo   uint64
	live         bool
	pending      int // entries that wait
}

func (t *trail) interest() interest { return interest{t.id, t.user, t.topics} }

// bytes returns about how much memory the trail takes.
func (t *trail) bytes() int {
	n := 256 + len(t.user)
	if t.attached != nil {
		n += t.attached.Bytes()
	}
	for _, topic := range t.topics.list() {
		n += 16 + len(topic)
	}
	if m := t.topics.matched(); m != nil {
		n += int(m.Size)
	}
	return n
}

// gapNote is a gap that was sent to a connection.
type gapNote struct {
	conn     string
	reason   string
	from, to broker.Position // from is zero if not known
}

// covers reports whether an event at a position may be missing because of the gap.
func (g *gapNote) covers(p broker.Position) bool {
	if !g.from.IsZero() && (g.from.Epoch != p.Epoch || p.Compare(g.from) <= 0) {
		return false
	}
	return g.to.Epoch != p.Epoch || p.Compare(g.to) <= 0
}

// passNote is an entry that a connection was not given, as it had expired or a newer one had taken its place.
type passNote struct {
	conn string
	seq  uint64
}

// ring holds the newest notes.
type ring[T any] struct {
	items []T
	next  int // the place of the oldest, once the ring is full
}

func (r *ring[T]) add(v T) {
	if len(r.items) < maxNotes {
		r.items = append(r.items, v)
		return
	}
	r.items[r.next] = v
	r.next = (r.next + 1) % maxNotes
}

func (r *ring[T]) full() bool { return len(r.items) == maxNotes }

// gap notes a gap that was sent to a connection.
func (t *trace) gap(conn, reason string, from, to broker.Position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gaps.add(gapNote{conn, reason, from, to})
}

// pass notes that a connection was not given an entry.
func (t *trace) pass(conn string, seq uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.passed.add(passNote{conn, seq})
}

// left notes that a connection has ended.
func (t *trace) left(c *Conn, reason error) {
	c.shard.mu.Lock()
	tr := c.trail()
	c.shard.mu.Unlock()
	tr.until = time.Now()
	switch {
	case reason == nil:
		tr.reason = "the hub ended it"
	case errors.Is(reason, context.Canceled):
		tr.reason = "the client left"
	default:
		tr.reason = reason.Error()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = append(t.ended, tr)
	t.bytes += tr.bytes()
	for len(t.ended) > maxEnded || t.bytes > maxEndedBytes {
		t.bytes -= t.ended[0].bytes()
		t.ended[0] = trail{}
		t.ended = t.ended[1:]
	}
}

// trail returns what a trace would know of the connection. The caller holds shard.mu.
func (c *Conn) trail() trail {
	pending := c.pending()
	t := trail{
		id: c.ID, user: c.User, attached: c.Attached, topics: c.topics, since: c.Since(),
		from: c.from, upTo: c.cursor, live: c.live, pending: len(pending),
	}
	switch {
	case len(pending) > 0:
		t.upTo = pending[0].seq - 1
	case c.live:
		t.upTo = max(c.cursor, c.shard.cursor)
	}
	return t
}

// trails returns the connections that open chooses of the index, and the ended ones that ended chooses, the newest last.
func (s *shard) trails(open func(*index) []*Conn, ended func(*trail) bool) (all []trail) {
	s.trace.mu.Lock()
	for i := range s.trace.ended {
		if t := &s.trace.ended[i]; ended(t) {
			all = append(all, *t)
		}
	}
	s.trace.mu.Unlock()
	s.mu.Lock()
	conns := open(&s.index)
	s.mu.Unlock()
	for len(conns) > 0 { // a few at a time, so that no event waits for this
		few := conns[:min(visitChunk, len(conns))]
		conns = conns[len(few):]
		s.mu.Lock()
		for _, c := range few {
			if c.place != gone {
				all = append(all, c.trail())
			}
		}
		s.mu.Unlock()
	}
	return all
}

// gapOver returns a gap in which a connection may have missed an event.
func (s *shard) gapOver(conn string, p broker.Position) (gapNote, bool) {
	s.trace.mu.Lock()
	defer s.trace.mu.Unlock()
	for i := range s.trace.gaps.items {
		if g := &s.trace.gaps.items[i]; g.conn == conn && g.covers(p) {
			return *g, true
		}
	}
	return gapNote{}, false
}

// hasPassed reports whether a connection was not given an entry. sure is false if that may have been forgotten.
func (s *shard) hasPassed(conn string, seq uint64) (passed, sure bool) {
	s.trace.mu.Lock()
	defer s.trace.mu.Unlock()
	for _, n := range s.trace.passed.items {
		if n.conn == conn && n.seq == seq {
			return true, true
		}
	}
	return false, !s.trace.passed.full()
}
