package hub

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// trace remembers of a shard's connections what they do not show themselves, for who asks later why an event did or did
// not come: those that have ended, the gaps that were said, and the events that were passed over. It is small, and what
// is new in it takes the place of what is old.
type trace struct {
	mu     sync.Mutex // guards all below; taken behind shard.mu
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

// trail is a connection, open or ended, as a trace knows it: it was given what it hears of all behind from, up to upTo.
type trail struct {
	id, user     string
	route        Route
	topics       *topics
	since, until time.Time // until is zero for one that is open
	reason       string    // why it has ended
	from, upTo   uint64
	live         bool
	pending      int // entries that wait
}

func (t *trail) interest() interest { return interest{t.id, t.user, t.topics} }

// bytes is about what the trail keeps in memory.
func (t *trail) bytes() int {
	n := 256 + len(t.user)
	if t.route != nil {
		n += t.route.Bytes()
	}
	for _, topic := range t.topics.list() {
		n += 16 + len(topic)
	}
	return n
}

// gapNote is a gap that a connection was told of.
type gapNote struct {
	conn     string
	reason   string
	from, to broker.Position // from is zero where it is not known
}

// covers reports whether an event of that position may have been lost in the gap.
func (g *gapNote) covers(p broker.Position) bool {
	if !g.from.IsZero() && (g.from.Epoch != p.Epoch || p.Compare(g.from) <= 0) {
		return false
	}
	return g.to.Epoch != p.Epoch || p.Compare(g.to) <= 0
}

// passNote is an entry that a connection was not given, as its publisher did not want it sent any more.
type passNote struct {
	conn string
	seq  uint64
}

// ring holds the newest notes.
type ring[T any] struct {
	items []T
	next  int // the place of the oldest, once it is full
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

// gap notes that a connection was told of a gap.
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

// left notes that a connection ends.
func (t *trace) left(c *Conn, reason error) {
	c.shard.mu.Lock()
	tr := c.trail()
	c.shard.mu.Unlock()
	tr.until = time.Now()
	switch {
	case reason == nil:
		tr.reason = "it was ended from here"
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

// trail is what a trace would say of the connection. The caller holds shard.mu.
func (c *Conn) trail() trail {
	pending := c.pending()
	t := trail{
		id: c.ID, user: c.User, route: c.Route, topics: c.topics, since: c.Since(),
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

// trails returns the chosen connections that are open and that have ended, the newest last.
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
	for len(conns) > 0 { // a few at a time, so that no event waits for who asks
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

// gapOver finds a gap in which a connection may have lost an event.
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

// hasPassed reports whether a connection was not given an entry; sure is false where that may have been forgotten.
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
