package hub

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/rules"
)

// additions remembers which topics apps have added to connections and users, and what has undone that, as far as this node
// has read the log. A client whose connections all have the same id gets them again when it reconnects.
type additions struct {
	window *window
	asked  uint64 // entries of the log's past that the broker was asked for

	mu       sync.Mutex // guards all below; taken inside of shard.mu
	byTarget map[broker.Target]*changes
	ends     []removal // topics whose subscribers were disconnected
	bytes    int
	begun    bool   // all of the log's past has been read
	known    uint64 // a client that has nothing newer than this place may have additions that are not known here
}

const (
	// maxAdditions bounds, in bytes, what additions remembers. Past it, all is forgotten.
	maxAdditions = 8 << 20
	// maxEnds bounds how many disconnected topics are remembered.
	maxEnds = 1000
	// adoptionTime is how long it may take until the log says of a connection what it has said of its user, and
	// adoptionWait how long a client that comes back meanwhile, perhaps to another node, waits for that.
	adoptionTime = time.Second
	adoptionWait = 500 * time.Millisecond
	// changeOverhead is about what a change takes in memory besides its names.
	changeOverhead = 128
)

// changes are those of one connection or user.
type changes struct {
	joins  []addition
	leaves []removal
}

// removal is a topic or pattern that was taken away, and the place of the log at which it was.
type removal struct {
	topic string
	seq   uint64
}

// undone reports whether one of the removals takes an addition away.
func undone(leaves []removal, a addition) bool {
	return slices.ContainsFunc(leaves, func(d removal) bool { return d.seq > a.seq && revokes(d.topic, a.topic) })
}

// revokes reports whether what takes a topic away takes another one or a pattern away as well.
func revokes(topic, own string) bool { return rules.Match(own, topic) || rules.Match(topic, own) }

// everything is the pattern that covers each topic.
const everything = "**"

// see takes note of what a record steers. It is called in the order of the log.
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
		default: // disconnected, and what was added has ended with the connection
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

// of returns the changes of a target, and makes them.
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

// join adds a topic. One that is repeated is heard from where it was first added. It is not added if something that this node
// has not read may have taken it away: clients are told instead that they may have had more. The caller holds mu.
func (a *additions) join(t broker.Target, topic string, e *entry) {
	c := a.of(t)
	if i := slices.IndexFunc(c.joins, func(had addition) bool { return had.topic == topic }); i >= 0 {
		c.joins[i].kept = e.seq
		return
	}
	n := addition{topic, e.seq, e.pos, e.seq, e.at}
	if since := e.control.since; !since.IsZero() {
		n.seq, n.pos = a.window.seqOf(since), since
		if undone(c.leaves, n) { // taken away while it was being repeated
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

// adopt notes that a connection has a topic that was added to its user.
func (a *additions) adopt(id string, n addition) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := broker.Target{Kind: broker.Connection, Name: id}
	c := a.of(t)
	if !slices.ContainsFunc(c.joins, func(had addition) bool { return had.topic == n.topic }) && !undone(c.leaves, n) {
		a.put(c, n)
	}
}

// leave takes away what a removal covers. It is remembered only where something may have been added: a node that begins in
// the middle of the log may read a removal first, and then a Join that was being repeated meanwhile. The caller holds mu.
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

// standing returns what was added to a connection, and what was added to its user at a place that later reports true for,
// as far as nothing has undone it.
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
			n.kept = 0 // it is not the connection's own yet
			list = append(list, n)
		}
	}
	return list
}

// unadopted reports whether something was added to a user a moment ago, at a place that had reports true for, that the log may
// yet say of the connection as well.
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

// unsure reports whether a client that goes on from a position may have had additions that are not known here.
func (a *additions) unsure(p broker.Position) bool {
	a.mu.Lock()
	known := a.known
	a.mu.Unlock()
	return known > 0 && a.window.seqOf(p) < known
}

// begin is called when all of the log's past has been read that there is to read; older is whether there is more of it.
func (a *additions) begin(older bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.begun = true; older {
		a.known = max(a.known, a.window.memory())
	}
}

// memory is how many entries may pass, at most, until a living connection repeats an addition: half of the history, and
// some for the time that takes.
func (w *window) memory() uint64 {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return uint64(pastEntries(w.history.Events) - w.history.Events)
}

// pastEntries is how many entries of the log's past a hub with a history of so many reads when it starts: those of the
// history, and those before it that may hold an addition which counts.
func pastEntries(history int) int { return history + history - history/4 }

// adopted waits until the log says of a client's connection what it has said of its user before p.
func (h *Hub) adopted(ctx context.Context, c *Conn, p broker.Position) {
	if h.nodes == nil {
		return // the connection itself has noted it here
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

// seqOf returns the place of a position, or 0 if it is not within the window.
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
