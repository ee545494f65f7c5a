package hub

import (
	"context"
	"slices"
	"strings"

	"github.com/sse-push/caddy-sse-push/broker"
)

const (
	// MaxIDs is how many ids a client may give for the place that it goes on from.
	MaxIDs = 16
	// maxQuestions is how many of them the broker is asked about. The window knows the others.
	maxQuestions = 4
)

// resume finds the place that a client goes on from: the newest of its ids that resolves. If none does, the client gets a
// gap, and all that the window holds.
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
	for _, p := range ids {
		h.rejoin(ctx, c, sub.Topics, p)
		found, why, err := r.resolve(ctx, p)
		switch {
		case err != nil:
			return err
		case found && reason == "lost": // the client had more than this, which the log has lost since
			c.head(c.connected("", sub.Retry))
			c.head(c.gap(reason, from, p))
			return nil
		case found:
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
	h.fromGap(c, sub, reason, from)
	return nil
}

// rejoin gives a connection what was added to the earlier ones of its client, and what was added to its user after the place
// that it goes on from. Nobody else may know the connection yet.
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
	now := h.recent.topics(topics)
	h.memory.kept.Add(h.keep(int64(c.own), now.list()) - c.keeps())
	c.topics = now
	if c.extra == nil && len(added) > 0 {
		c.extra = &extra{}
	}
	if c.extra != nil {
		c.extra.topics = added
	}
}

// fromGap starts with all that the window holds. The client's own id stays in force until it has heard of
// the gap: cut off before, it comes back with the same id, and is told again.
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
	known map[broker.Position]broker.Standing // what the broker has said
}

// meet waits for the window to reach the ids of newer lives than it has seen, so that it can put all of them in order. It
// leaves half of the questions for what follows.
func (r *resolver) meet(ctx context.Context, ids []broker.Position) error {
	for _, p := range ids {
		if _, at := r.hub.window.locate(p); at != foreign {
			continue
		}
		standing, asked, err := r.stands(ctx, p, maxQuestions/2)
		if err == nil && asked && standing == broker.Exact {
			_, _, err = r.hub.seek(ctx, p)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// stands returns how the log stands to an id. It reports false if the broker was asked most times for this client already.
func (r *resolver) stands(ctx context.Context, p broker.Position, most int) (s broker.Standing, asked bool, err error) {
	if s, asked = r.known[p]; asked || len(r.known) >= most {
		return s, asked, nil
	}
	if s, err = r.hub.archive.stands(ctx, p); err != nil {
		return s, false, err
	}
	if r.known == nil {
		r.known = map[broker.Position]broker.Standing{}
	}
	r.known[p] = s
	return s, true, nil
}

// resolve sets the connection to go on from p, if it can, and reports whether it does. If not, it returns the reason of
// the gap.
func (r *resolver) resolve(ctx context.Context, p broker.Position) (found bool, reason string, err error) {
	w := r.hub.window
	seq, at := w.locate(p)
	switch at {
	case within:
		r.conn.goOn(seq, p)
		return true, "", nil
	case before:
		if gone, seq, _ := w.trimmedSince(r.conn.interest(), p); !gone {
			r.conn.goOn(seq, p)
			return true, "", nil
		}
	}
	standing, asked, err := r.stands(ctx, p, maxQuestions)
	switch {
	case err != nil:
		return false, "", err
	case !asked, standing == broker.Unknown, standing == broker.Ahead:
		return false, "unknown", nil
	case at == behind: // another node, or this one a moment ago, handed it out
		if err := r.hub.reach(ctx, p); err != nil {
			return false, "", err
		}
		if seq, at = w.locate(p); at == between {
			at = within
		}
	case at == between && standing == broker.Exact:
		at = within
	case standing == broker.Trimmed:
		return false, "trimmed", nil
	case standing == broker.Lost:
		return false, "lost", nil
	case at == foreign:
		if seq, at, err = r.hub.seek(ctx, p); err != nil {
			return false, "", err
		}
	default:
		at = before
	}
	switch at {
	case within:
		r.conn.goOn(seq, p)
	case before:
		r.conn.goOnInLog(p)
	default:
		return false, "unknown", nil
	}
	return true, "", nil
}

// positions reads ids, as far as they can be read, each once. What stands behind the position is the app's own id.
func positions(ids []string) (list []broker.Position) {
	for _, id := range ids {
		text, _, _ := strings.Cut(id, "~")
		if p, ok := broker.ParsePosition(text); ok && !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return list
}

// sortNewest puts positions in the log's order, the newest first. Those of lives that the window does not know come last,
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
