package hub

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

const (
	// MaxIDs is the most ids that a client may give.
	MaxIDs = 16
	// maxQuestions is how many of them the broker is asked about.
	maxQuestions = 4
)

// resume sets a connection to start from the newest of its client's ids that resolves. If none does, the client gets a gap, and
// its Opening or everything in the window.
func (h *Hub) resume(ctx context.Context, c *Conn, sub Subscription) error {
	ids := positions(append([]string{sub.LastEventID}, sub.OtherIDs...))
	r := resolver{hub: h, conn: c}
	if len(ids) > 1 {
		if err := r.meet(ctx, ids); err != nil {
			return err
		}
	}
	h.window.sortNewest(ids)
	reason, from := "unknown", broker.Position{}
	if len(ids) > 0 {
		from = ids[0]
	}
	if sub.Opening != nil {
		ids, reason = h.own(c, ids)
	}
	for _, p := range ids {
		h.rejoin(ctx, c, sub.Topics, p)
		d, err := r.resolve(ctx, p)
		switch why := d.reason(); {
		case err != nil:
			return err
		case why == "" && reason == "lost": // the client has had more than this, which the log has lost since
			c.head(c.connected("", sub.Retry))
			c.head(c.gap(reason, from, p))
			return nil
		case why == "":
			c.head(c.connected(p.String(), sub.Retry))
			if c.named && h.additions.unsure(p) {
				c.head(c.gap("lost", p, p))
			}
			return nil
		case reason == "unknown" && why != "unknown":
			reason, from = why, p
		}
	}
	h.rejoin(ctx, c, sub.Topics, broker.Position{})
	if sub.Opening != nil {
		return h.open(ctx, c, sub, reason, from)
	}
	h.fromGap(c, sub, reason, from)
	return nil
}

// rejoin gives a connection the topics that were added to its client's earlier ones, and those that were added to its user
// after the position that it resumes from. Nobody else may know the connection yet.
func (h *Hub) rejoin(ctx context.Context, c *Conn, own []string, p broker.Position) {
	if !c.named {
		return
	}
	if !p.IsZero() {
		h.adopted(ctx, c, p)
	}
	topics := slices.Clone(own)
	var added []addition
	for _, a := range h.additions.standing(c.ID, c.User, func(a addition) bool { return !p.IsZero() && h.window.later(a, p) }) {
		if !slices.Contains(own, a.topic) {
			topics, added = append(topics, a.topic), append(added, a)
		}
	}
	now := h.topicCache.of(topics)
	h.memory.kept.Add(h.keep(int64(c.own), now.list()) - c.keeps())
	c.topics = now
	if c.extra == nil && len(added) > 0 {
		c.extra = &extra{}
	}
	if c.extra != nil {
		c.extra.topics = added
	}
}

// fromGap starts with everything in the window. The client keeps its own id until it gets the gap: if it is cut off before, it
// comes back with the same id, and is told again.
func (h *Hub) fromGap(c *Conn, sub Subscription, reason string, from broker.Position) {
	seq, to := h.window.oldest()
	c.goOn(seq, to)
	c.head(c.connected("", sub.Retry))
	c.head(c.gap(reason, from, to))
}

// resolver looks up ids for one connection.
type resolver struct {
	hub   *Hub
	conn  *Conn
	known map[broker.Position]broker.Standing // the broker's answers
}

// meet waits for the window to reach ids of newer lives than it has seen, so that all ids can be put in order. It leaves half
// of the questions for what follows.
func (r *resolver) meet(ctx context.Context, ids []broker.Position) error {
	for _, p := range ids {
		if _, at := r.hub.window.locate(p); at != foreign {
			continue
		}
		standing, err := r.stands(ctx, p, maxQuestions/2)
		if err == nil && standing == broker.Exact {
			_, _, err = r.hub.seek(ctx, p)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// stands returns how an id stands to the log. It returns Unknown if the broker was already asked most times for this client.
func (r *resolver) stands(ctx context.Context, p broker.Position, most int) (broker.Standing, error) {
	if s, asked := r.known[p]; asked || len(r.known) >= most {
		return s, nil
	}
	s, err := r.hub.archive.stands(ctx, p)
	if err != nil {
		return s, err
	}
	if r.known == nil {
		r.known = map[broker.Position]broker.Standing{}
	}
	r.known[p] = s
	return s, nil
}

// resolve looks up an id, and sets the connection to start from it if decisions says so. It returns goOn or readLog if so, and
// otherwise the kind of gap.
func (r *resolver) resolve(ctx context.Context, p broker.Position) (d decision, err error) {
	w := r.hub.window
	seq, at := w.locate(p)
	if at == older {
		if gone, start, _ := w.trimmedSince(r.conn.interest(), p); !gone {
			seq, at = start, within
		}
	}
	standing := broker.Unknown
	if at != within {
		if standing, err = r.stands(ctx, p, maxQuestions); err != nil {
			return 0, err
		}
	}
	for {
		switch d = decisions[at][standing]; d {
		case goOn:
			r.conn.goOn(seq, p)
			return d, nil
		case readLog:
			r.conn.goOnInLog(p)
			return d, nil
		case await:
			err = r.hub.reach(ctx, p)
			seq, at = w.locate(p)
			standing = broker.Exact // the window has what comes after p, or a hole in its place
		case seek:
			seq, at, err = r.hub.seek(ctx, p)
		default:
			return d, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// earliest is what a client with matchers gives as its last event id to get all that the window has.
const earliest = "earliest"

// lateTime is how long a client waits for a publisher's id that this node does not have yet.
const lateTime = 2 * time.Second

// resumeMatched is resume for a client with matchers, which has one id: # and a position, as it gets it for events without an id of
// their publisher's, or a publisher's id. That one is looked up in the window only.
func (h *Hub) resumeMatched(ctx context.Context, c *Conn, sub Subscription) error {
	position, ok := strings.CutPrefix(sub.LastEventID, string(positionMark))
	if ok {
		return h.resumePosition(ctx, c, sub, position)
	}
	if sub.LastEventID == earliest {
		seq, from := h.window.oldest()
		c.goOn(seq, from)
		c.head(c.connected(from.String(), sub.Retry))
		return nil
	}
	e, err := h.awaitNamed(ctx, c.interest(), sub.LastEventID)
	if err != nil {
		return err
	}
	if e == nil {
		h.fromGap(c, sub, "unknown", broker.Position{})
		return nil
	}
	c.goOn(e.seq, e.pos)
	c.resumed(e.pos, sub)
	return nil
}

// resumed begins the stream of a client with matchers that goes on right after the event whose id it gave.
func (c *Conn) resumed(p broker.Position, sub Subscription) {
	sub.Matchers.Exact = true
	c.head(c.connected(p.String(), sub.Retry))
	if sub.Matchers.Unsure {
		c.head(c.gap("lost", p, p))
	}
}

func (h *Hub) resumePosition(ctx context.Context, c *Conn, sub Subscription, id string) error {
	p, ok := broker.ParsePosition(id)
	if !ok {
		h.fromGap(c, sub, "unknown", p)
		return nil
	}
	r := resolver{hub: h, conn: c}
	d, err := r.resolve(ctx, p)
	if err != nil {
		return err
	}
	if reason := d.reason(); reason != "" {
		h.fromGap(c, sub, reason, p)
		return nil
	}
	c.resumed(p, sub)
	return nil
}

// awaitNamed returns the entry with a publisher's id; nil if the window has none. If another node may have published it, awaitNamed
// waits for a while, as this one may lag behind.
func (h *Hub) awaitNamed(ctx context.Context, in interest, id string) (*entry, error) {
	late := time.NewTimer(lateTime)
	defer late.Stop()
	for {
		_, _, grown := h.window.end()
		if e := h.window.named(in, id); e != nil || h.nodes == nil {
			return e, nil
		}
		select {
		case <-grown:
		case <-late.C:
			return nil, nil
		case <-ctx.Done():
			return nil, ErrNotReady
		}
	}
}

// positions returns the positions of ids, each once, and leaves out ids that it cannot read. What follows the position is the
// app's own id.
func positions(ids []string) (list []broker.Position) {
	for _, id := range ids {
		text, _, _ := strings.Cut(id, "~")
		if p, ok := broker.ParsePosition(text); ok && !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return list
}

// sortNewest sorts positions in the order of the log, the newest first. Those of lives that the window does not know come last,
// each life in the order given.
func (w *window) sortNewest(list []broker.Position) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	ranks := map[uint64]int{}
	for _, p := range list {
		if _, ok := ranks[p.Epoch]; ok {
			continue
		}
		if ranks[p.Epoch] = w.rank(p.Epoch); ranks[p.Epoch] < 0 {
			ranks[p.Epoch] = -1 - len(ranks)
		}
	}
	slices.SortStableFunc(list, func(p, q broker.Position) int {
		if p.Epoch == q.Epoch {
			return q.Compare(p)
		}
		return ranks[q.Epoch] - ranks[p.Epoch]
	})
}

// Opening is how a stream begins that cannot go on from an id of its client: because the client is new, or because its ids are not
// known, or are not ids of its topics. A client that has ids gets a gap first. So what a client sees of an Opening begins with what
// its topics are now, and its ids tell whether it has seen that.
type Opening struct {
	Frames []byte          // what the client is to know of the past: events in the order of the log, with their ids. Never changed afterwards
	After  broker.Position // what follows is all after this; zero for all that the window has
}

// open begins a stream with its Opening. If the client has ids, reason is that of its gap, and from the newest of them. Until the
// client has something of the Opening, it keeps its own id, or none.
func (h *Hub) open(ctx context.Context, c *Conn, sub Subscription, reason string, from broker.Position) error {
	o := sub.Opening
	seq, at := h.window.oldest()
	c.goOn(seq, at)
	id := ""
	if !o.After.IsZero() {
		r := resolver{hub: h, conn: c}
		switch d, err := r.resolve(ctx, o.After); {
		case err != nil:
			return err
		case d.reason() == "":
			if at = o.After; h.owns(c, at) { // otherwise the client would get a gap when it comes back with that id
				id = at.String()
			}
		case reason == "":
			reason, from = d.reason(), o.After
		}
	}
	if reason != "" || len(o.Frames) > 0 {
		id = ""
	}
	c.head(c.connected(id, sub.Retry))
	if reason != "" {
		c.head(c.gap(reason, from, at))
	}
	if len(o.Frames) > 0 {
		c.wait().opening = o.Frames
	}
	return nil
}

// own returns the ids that are ids of what the connection hears, or may be. reason is that of the gap if none of them can be gone
// on from.
func (h *Hub) own(c *Conn, ids []broker.Position) (own []broker.Position, reason string) {
	reason = "unknown"
	for _, p := range ids {
		if h.owns(c, p) {
			own = append(own, p)
		} else if _, at := h.window.locate(p); at != foreign && at != newer {
			reason = "upstream"
			if gone, _, _ := h.window.trimmedSince(c.interest(), p); gone {
				reason = "trimmed"
			}
		}
	}
	return own, reason
}

// owns reports whether a position is that of something which the connection hears, or may be.
func (h *Hub) owns(c *Conn, p broker.Position) bool {
	in := c.interest()
	seq, at := h.window.locate(p)
	if at != within {
		return !h.archive.empty || h.window.lastTrimmed(in, p)
	}
	e := h.window.at(seq)
	return e != nil && e.pos == p && in.hears(e) || h.window.lastTrimmed(in, p)
}

// lastTrimmed reports whether p is the position of the newest entry of a target that an interest hears, and that the window no
// longer has.
func (w *window) lastTrimmed(in interest, p broker.Position) bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	is := func(ps *postings) bool { return ps.trimmed.pos == p }
	return !w.lists(in, func(ps *postings) bool { return !is(ps) }) ||
		slices.ContainsFunc(in.topics.patterned(), func(pattern string) bool {
			return !w.quietTopics.covered(pattern, func(ps *postings) bool { return !is(ps) })
		})
}
