package hub

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// census calls the directory once for all questions that come at about the same time. A question that comes during a call waits
// for the next one, so that no answer is older than its question.
type census struct {
	mu     sync.Mutex // guards all below
	next   *inquiry
	asking bool
	closed bool
}

// inquiry is one call of the directory.
type inquiry struct {
	names map[string]struct{} // nil for all
	done  chan struct{}
	nodes []broker.Node
	err   error
}

// ask returns what the other nodes report under names, or under all names if none is given, and how many reports they have
// made. The counts are shared with other callers, and may have names that those have asked for.
func (n *nodes) ask(ctx context.Context, names ...string) ([]broker.Node, error) {
	c := &n.census
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, broker.ErrClosed
	}
	if c.next == nil {
		c.next = &inquiry{names: map[string]struct{}{beatName: {}}, done: make(chan struct{})}
	}
	q := c.next
	if len(names) == 0 {
		q.names = nil
	}
	for _, name := range names {
		if q.names != nil {
			q.names[name] = struct{}{}
		}
	}
	if !c.asking {
		c.asking = true
		n.hub.done.Go(n.inquire)
	}
	c.mu.Unlock()
	select {
	case <-q.done:
		return q.nodes, q.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// inquire makes calls until there are no questions.
func (n *nodes) inquire() {
	c := &n.census
	for {
		c.mu.Lock()
		q := c.next
		if c.next = nil; q == nil {
			c.asking = false
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		ctx, cancel := context.WithTimeout(n.hub.who.ctx, renewEvery)
		q.nodes, q.err = n.list(ctx, slices.Collect(maps.Keys(q.names)))
		cancel()
		close(q.done)
	}
}

// close stops further calls.
func (n *nodes) close() {
	if n != nil {
		n.census.mu.Lock()
		n.census.closed = true
		n.census.mu.Unlock()
	}
}

// list calls the directory. If the directory does not tell nodes apart, list returns the others as one.
func (n *nodes) list(ctx context.Context, names []string) ([]broker.Node, error) {
	roster, ok := n.directory.(broker.Roster)
	if ok {
		asked := time.Now()
		nodes, err := roster.Nodes(ctx, names...)
		if err != nil {
			return nil, err
		}
		n.feel(nodes, asked)
		if !slices.ContainsFunc(nodes, func(o broker.Node) bool { return o.Name == n.name && !o.Silent }) && n.hasLease() {
			n.blindfold()
		}
		return slices.DeleteFunc(nodes, func(o broker.Node) bool { return o.Name == n.name || o.Name == memoName }), nil
	}
	counts, err := n.directory.Counts(ctx, names...)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	others := map[string]int{}
	for name, count := range counts {
		if name != beatName && count > n.told[name] {
			others[name] = count - n.told[name]
		}
	}
	return []broker.Node{{Counts: others}}, nil
}

// stallTime is how long a node may make no report before it counts as stalled, or dead. Its lease may last longer.
const stallTime = 5 * time.Second

// pulse is the number of a node's newest report, and when this node first saw it.
type pulse struct {
	beat    int
	since   time.Time
	stalled bool
}

// feel updates the pulses from a call of the directory that began at asked.
func (n *nodes) feel(nodes []broker.Node, asked time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	old := n.pulses
	n.pulses = map[string]pulse{}
	for _, o := range nodes {
		p := old[o.Name]
		if beat := o.Counts[beatName]; beat == 0 || beat != p.beat {
			p = pulse{beat: beat, since: time.Now()}
		}
		p.stalled = asked.Sub(p.since) > stallTime
		n.pulses[o.Name] = p
	}
}

// stalled reports whether a node has made no report for stallTime.
func (n *nodes) stalled(o broker.Node) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return able(o) && n.pulses[o.Name].stalled
}

// hasLease reports whether this node has ever had a lease.
func (n *nodes) hasLease() bool {
	select {
	case <-n.leased:
		return true
	default:
		return false
	}
}

// able reports whether a node answers receipts, and registers connections before it admits them. Those of older versions do
// not.
func able(o broker.Node) bool { return o.Counts[beatName] > 0 }

// blinded reports whether there may be nodes that the engine has forgotten, and that have yet to report again.
func (n *nodes) blinded() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return time.Now().Before(n.blind)
}
