package hub

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/rules"
)

// additions remembers which topics apps have added to connections and users, and what has undone that, as far as this node has
// read the log. A client that keeps its connection id gets them again when it reconnects.
type additions struct {
	window *window
	asked  uint64 // how many entries of the log's past the broker was asked for

	mu       sync.Mutex // guards all below
	byTarget map[broker.Target]*changes
	ends     []removal // topics whose subscribers were disconnected
	bytes    int
	begun    bool   // everything that is to be read of the log's past has been
	known    uint64 // a client that resumes from a place before this one may have additions that this node does not know
}

const (
	// maxAdditions bounds the memory that additions takes, in bytes. Past it, additions forgets everything.
	maxAdditions = 8 << 20
	// maxEnds bounds how many disconnected topics are remembered.
	maxEnds = 1000
	// adoptionTime is how long it may take until the log says of a connection what it has said of its user. adoptionWait is how
	// long a client waits for that if it comes back meanwhile, perhaps to another node.
	adoptionTime = time.Second
	adoptionWait = 500 * time.Millisecond
	// changeOverhead is about what a change takes in memory besides names.
	changeOverhead = 128
)

// changes has what was added to one connection or user, and taken away from it.
type changes struct {
	joins  []addition
	leaves []removal
}

// removal is a topic or pattern that was taken away, and the place of the record that did so.
type removal struct {
	topic string
	seq   uint64
}

// undone reports whether one of the removals came after an addition and takes it away.
func undone(leaves []removal, a addition) bool {
	return slices.ContainsFunc(leaves, func(d removal) bool { return d.seq > a.seq && revokes(d.topic, a.topic) })
}

// revokes reports whether taking topic away also takes away own, either of which may be a pattern.
func revokes(topic, own string) bool { return rules.Match(own, topic) || rules.Match(topic, own) }

// everything is the pattern that covers every topic.
const everything = "**"

// see records what an entry adds or takes away. It is called in the order of the log.
func (a *additions) see(e *entry) {
	ctl := e.control
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range ctl.targets {
		switch {
		case ctl.kind == broker.Join:
			for _, topic := range ctl.topics {
				a.join(t, topic, e)
			}
		case ctl.kind == broker.Leave:
			for _, topic := range ctl.topics {
				a.leave(t, removal{topic, e.seq})
			}
		case ctl.kind == broker.Supersede:
		case t.Kind == broker.Topic:
			a.leave(t, removal{t.Name, e.seq})
		default: // disconnected: what was added ends with the connection
			a.leave(t, removal{everything, e.seq})
		}
	}
	if ctl.partial {
		a.known = max(a.known, e.seq+a.window.memory())
	}
	if a.bytes > maxAdditions || len(a.ends) > maxEnds {
		a.byTarget, a.ends, a.bytes = nil, nil, 0
		a.known = e.seq + a.window.memory()
	}
}

// of returns the changes of a target, and creates them if there are none.
func (a *additions) of(t broker.Target) *changes {
	c := a.byTarget[t]
	if c == nil {
		if a.byTarget == nil {
			a.byTarget = map[broker.Target]*changes{}
		}
		c = &changes{}
		a.byTarget[t] = c
		a.bytes += len(t.Name) + changeOverhead
	}
	return c
}

// join records an addition. A repeated one is heard from where it was first added. If something that this node has not read may
// have taken it away, it is not recorded, and clients are told that they may have had more. The caller holds mu.
func (a *additions) join(t broker.Target, topic string, e *entry) {
	c := a.of(t)
	if i := slices.IndexFunc(c.joins, func(had addition) bool { return had.topic == topic }); i >= 0 {
		c.joins[i].kept = e.seq
		return
	}
	n := addition{topic, e.seq, e.pos, e.seq, e.at}
	if since := e.control.since; !since.IsZero() {
		n.seq, n.pos = a.window.seqOf(since), since
		if undone(c.leaves, n) { // it was taken away while another node was repeating it
			return
		}
		if read := e.control.read; !read.IsZero() && !a.window.follows(read) {
			a.known = max(a.known, e.seq+a.window.memory())
			return
		}
	}
	a.put(c, n)
}

func (a *additions) put(c *changes, n addition) {
	c.joins = append(c.joins, n)
	a.bytes += len(n.topic) + changeOverhead
}

// adopt records that a connection has a topic that was added to its user.
func (a *additions) adopt(id string, n addition) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := broker.Target{Kind: broker.Connection, Name: id}
	c := a.of(t)
	if !slices.ContainsFunc(c.joins, func(had addition) bool { return had.topic == n.topic }) && !undone(c.leaves, n) {
		a.put(c, n)
	}
}

// leave records a removal. It does nothing if nothing can have been added. But until the log's past has been read, a removal is
// recorded in any case: a node that begins in the middle of the log may read it before a Join that was being repeated
// meanwhile. The caller holds mu.
func (a *additions) leave(t broker.Target, d removal) {
	if a.begun && len(a.byTarget) == 0 {
		return
	}
	if t.Kind == broker.Topic {
		a.ends = append(slices.DeleteFunc(a.ends, func(old removal) bool { return old.topic == d.topic }), d)
		return
	}
	c := a.of(t)
	c.joins = slices.DeleteFunc(c.joins, func(n addition) bool {
		if !revokes(d.topic, n.topic) {
			return false
		}
		a.bytes -= len(n.topic) + changeOverhead
		return true
	})
	i := slices.IndexFunc(c.leaves, func(old removal) bool { return old.topic == d.topic })
	if i < 0 {
		c.leaves = append(c.leaves, d)
		a.bytes += len(d.topic) + changeOverhead
	} else {
		c.leaves[i] = d
	}
}

// standing returns the additions to a connection that nothing has undone, and those to its user at a place for which later
// returns true.
func (a *additions) standing(id, user string, later func(addition) bool) (list []addition) {
	a.mu.Lock()
	defer a.mu.Unlock()
	own, users := a.byTarget[broker.Target{Kind: broker.Connection, Name: id}], a.byTarget[broker.Target{Kind: broker.User, Name: user}]
	if own == nil {
		own = &changes{}
	}
	if users == nil || user == "" {
		users = &changes{}
	}
	for _, n := range own.joins {
		if !undone(users.leaves, n) && !undone(a.ends, n) {
			list = append(list, n)
		}
	}
	for _, n := range users.joins {
		had := slices.ContainsFunc(list, func(had addition) bool { return had.topic == n.topic })
		if !had && later(n) && !undone(own.leaves, n) && !undone(a.ends, n) {
			n.kept = 0 // it is not yet the connection's own
			list = append(list, n)
		}
	}
	return list
}

// unadopted reports whether a topic was added to a user a moment ago, at a place for which had returns true, and the log has
// yet to say so of the connection.
func (a *additions) unadopted(id, user string, had func(addition) bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	users := a.byTarget[broker.Target{Kind: broker.User, Name: user}]
	if users == nil || user == "" {
		return false
	}
	own := a.byTarget[broker.Target{Kind: broker.Connection, Name: id}]
	return slices.ContainsFunc(users.joins, func(n addition) bool {
		return time.Since(n.at) < adoptionTime && had(n) &&
			(own == nil || !slices.ContainsFunc(own.joins, func(o addition) bool { return o.topic == n.topic }))
	})
}

// has reports whether a connection has additions.
func (a *additions) has(id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.byTarget[broker.Target{Kind: broker.Connection, Name: id}]
	return c != nil && len(c.joins) > 0
}

// unsure reports whether a client that resumes from a position may have had additions that this node does not know.
func (a *additions) unsure(p broker.Position) bool {
	a.mu.Lock()
	known := a.known
	a.mu.Unlock()
	return known > 0 && a.window.seqOf(p) < known
}

// begin is called when the log's past has been read. older reports whether there is more of it than was asked for.
func (a *additions) begin(older bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.begun = true; older {
		a.known = max(a.known, a.window.memory())
	}
}

// memory returns how many entries may pass at most until a living connection's additions are repeated: half of the history, and
// some more for the time that takes.
func (w *window) memory() uint64 {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return uint64(pastEntries(w.history.Events) - w.history.Events)
}

// pastEntries returns how many entries of the log's past a hub reads when it starts: its history, and those before it that may
// hold an addition that counts.
func pastEntries(history int) int { return history + history - history/4 }

// adopted waits until the log says of a client's connection what it has said of its user before p.
func (h *Hub) adopted(ctx context.Context, c *Conn, p broker.Position) {
	if h.nodes == nil {
		return // this hub has recorded it for the connection itself
	}
	ctx, cancel := context.WithTimeout(ctx, adoptionWait)
	defer cancel()
	for {
		_, _, grown := h.window.end()
		if !h.additions.unadopted(c.ID, c.User, func(a addition) bool { return !h.window.later(a, p) }) {
			return
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return
		}
	}
}

// seqOf returns the place of a position, or 0 if it is not in the window.
func (w *window) seqOf(p broker.Position) uint64 {
	if seq, at := w.locate(p); at == within || at == between {
		return seq
	}
	return 0
}

// later reports whether an addition was made after a position.
func (w *window) later(a addition, p broker.Position) bool {
	switch seq, at := w.locate(p); at {
	case within, between:
		return a.seq > seq
	case older:
	default:
		return false
	}
	if a.pos.Epoch == p.Epoch {
		return a.pos.Compare(p) > 0
	}
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.rank(a.pos.Epoch) > w.rank(p.Epoch)
}
