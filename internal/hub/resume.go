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
	h.window.sortNewest(ids)
	r := resolver{hub: h, conn: c}
	reason, from := "unknown", broker.Position{}
	if len(ids) > 0 {
		from = ids[0]
	}
	for _, p := range ids {
		found, why, err := r.resolve(ctx, p)
		switch {
		case err != nil:
			return err
		case found && reason == "lost": // the client had more than this, which the log has lost since
			c.wait().head = append(c.connected("", sub.Retry), c.gap(reason, from, p)...)
			return nil
		case found:
			c.wait().head = c.connected(p.String(), sub.Retry)
			return nil
		case reason == "unknown" && why != "unknown":
			reason, from = why, p
		}
	}
	h.fromGap(c, sub, reason, from)
	return nil
}

// fromGap starts with all that the window holds. The client's own id stays in force until it has heard of
// the gap: cut off before, it comes back with the same id, and is told again.
func (h *Hub) fromGap(c *Conn, sub Subscription, reason string, from broker.Position) {
	seq, to := h.window.oldest()
	c.goOn(seq, to)
	c.wait().head = append(c.connected("", sub.Retry), c.gap(reason, from, to)...)
}

// resolver looks up ids for one connection.
type resolver struct {
	hub   *Hub
	conn  *Conn
	asked int // questions to the broker
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
	if r.asked++; r.asked > maxQuestions {
		return false, "unknown", nil
	}
	standing, err := r.hub.archive.stands(ctx, p)
	switch {
	case err != nil:
		return false, "", err
	case standing == broker.Unknown, standing == broker.Ahead:
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
	default: // of a life that the window has not seen, perhaps
		at = before
	}
	switch at {
	case within:
		r.conn.goOn(seq, p)
	case before:
		r.conn.past = &past{at: p}
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
