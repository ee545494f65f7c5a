package hub

import (
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// claims are the ids that connections of this node have taken, with the numbers of the claims, oldest first. nodes.mu guards
// them.
type claims struct {
	held map[string][]int
	last int
	busy map[string]chan struct{} // ids that are being claimed; closed when one is
}

// newest returns the number of the newest claim to an id, 0 where there is none. It is what other nodes see.
func (c *claims) newest(id string) int {
	if held := c.held[id]; len(held) > 0 {
		return held[len(held)-1]
	}
	return 0
}

// claim is a connection's claim to an id that an older stream may have.
type claim struct {
	node     string
	number   int             // on this node
	appended broker.Position // the place of the record by which it ends streams on other nodes; zero: there were none to end
	after    broker.Position // the end of the log when it was made, as this node had it
}

// claimAgain is how long a client is to stay away if the log has no room for the record that its claim needs.
const claimAgain = 5 * time.Second

// claim gives a connection an id that an older stream may have. All that have it on this node are in one shard. It is held in
// the directory; where another node holds it as well, a record ends the stream there. Of several that come at once each sees
// at least those that were there before it, and the one whose record comes last is the one.
func (h *Hub) claim(ctx context.Context, c *Conn, id string) error {
	if id == "" {
		return nil
	}
	c.shard = h.shards[maphash.String(h.topicCache.seed, id)%uint64(len(h.shards))]
	if h.nodes == nil {
		return nil
	}
	if err := h.nodes.begin(ctx, id); err != nil {
		return err
	}
	defer h.nodes.end(id)
	_, end, _ := h.window.end()
	c.extra = &extra{claim: h.nodes.claim(id, end)}
	held, all := h.nodes.holders(ctx, id)
	if ctx.Err() != nil { // the client has gone, perhaps to come again: that stream must not be ended by this one's record
		return ErrNotReady
	}
	if len(held) == 0 && !all {
		return nil
	}
	r := broker.Record{Kind: broker.Supersede, Targets: []broker.Target{{Kind: broker.Connection, Name: id}}}
	if !all {
		r.Ends = held
	}
	room, done := h.chatter.reserve(h.window, takeoverShare, 1)
	defer done()
	if room == 0 {
		return &Refusal{Reason: "rate", Again: claimAgain}
	}
	result := h.append(ctx, []broker.Record{r})[0]
	c.extra.claim.appended = result.Position
	if result.Err == nil {
		_ = h.reach(ctx, result.Position) // it counts among what clients have caused
	}
	return result.Err
}

// begin waits until nobody else on this node claims an id: its claims are numbered in the order of their records.
func (n *nodes) begin(ctx context.Context, id string) error {
	for {
		n.mu.Lock()
		busy := n.claims.busy[id]
		if busy == nil {
			n.claims.busy[id] = make(chan struct{})
			n.mu.Unlock()
			return nil
		}
		n.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return ErrNotReady
		}
	}
}

func (n *nodes) end(id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.claims.busy[id])
	delete(n.claims.busy, id)
}

// claim takes an id on this node.
func (n *nodes) claim(id string, end broker.Position) *claim {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.claims.last = max(n.claims.last+1, int(time.Now().UnixMilli())) // the newer of two nodes' claims, more or less
	n.claims.held[id] = append(n.claims.held[id], n.claims.last)
	return &claim{node: n.name, number: n.claims.last, after: end}
}

func claimText(node string, number int) string { return node + " " + strconv.Itoa(number) }

// holders returns the claims that other nodes have to an id, once they can see this node's. It reports true where they
// cannot be told: the directory does not answer, or a node makes no claims, as it is of an older version.
func (n *nodes) holders(ctx context.Context, id string) (held []string, all bool) {
	name := claimName + id
	if n.register(ctx, name) != nil {
		return nil, true
	}
	nodes, err := n.ask(ctx, name)
	if err != nil {
		return nil, true
	}
	for _, o := range nodes {
		switch {
		case o.Silent || n.stalled(o): // back again, it gives up what others have taken
		case !able(o):
			all = true
		case o.Counts[name] > 0:
			held = append(held, claimText(o.Name, o.Counts[name]))
		}
	}
	return held, all
}

// unclaim gives up a connection's claim to its id.
func (h *Hub) unclaim(c *Conn) {
	if c.extra == nil || c.extra.claim == nil {
		return
	}
	n := h.nodes
	n.mu.Lock()
	defer n.mu.Unlock()
	held := n.claims.held[c.ID]
	i := slices.Index(held, c.extra.claim.number)
	if i < 0 {
		return
	}
	if n.claims.held[c.ID] = slices.Delete(held, i, i+1); len(held) == 1 {
		delete(n.claims.held, c.ID)
	}
	n.note(claimName + c.ID)
}

// reclaim is called when this node's claims have been out of the others' sight, or seemed to be a dead node's. Streams whose ids newer ones of other nodes
// have taken are ended; those that are the newer ones have the others end theirs.
func (n *nodes) reclaim(ctx context.Context) {
	n.mu.Lock()
	own := make(map[string]int, len(n.claims.held))
	var names []string
	for id := range n.claims.held {
		own[id] = n.claims.newest(id)
		names = append(names, claimName+id)
	}
	n.mu.Unlock()
	if len(names) == 0 {
		return
	}
	nodes, err := n.ask(ctx, names...)
	if err != nil {
		n.retell()
		return
	}
	for id, number := range own {
		var older []string
		newer := false
		for _, o := range nodes {
			switch other := o.Counts[claimName+id]; {
			case other == 0 || !able(o):
			case other > number || other == number && o.Name > n.name:
				newer = true
			default:
				older = append(older, claimText(o.Name, other))
			}
		}
		if newer {
			n.hub.replace(id)
		} else if len(older) > 0 {
			n.hub.supersede(ctx, id, older)
		}
	}
}

// supersede has other nodes end streams, as far as clients may take so much of the log.
func (h *Hub) supersede(ctx context.Context, id string, claims []string) {
	room, done := h.chatter.reserve(h.window, takeoverShare, 1)
	defer done()
	if room == 0 {
		return
	}
	h.append(ctx, []broker.Record{{Kind: broker.Supersede, Targets: []broker.Target{{Kind: broker.Connection, Name: id}}, Ends: claims}})
}

// since reports whether a claim was made after another one on this node.
func (c *claim) since(o *claim) bool {
	return c != nil && o != nil && c.number > o.number
}

// endedBy reports whether a record of another claim, at a place of the log, ends this one. A claim that has a record gives way
// to each that comes after it. One that has none gives way where it is named, or a newer one of its node; and to a record
// that names nobody, as those of older versions.
func (c *claim) endedBy(ends []string, p broker.Position) bool {
	if c == nil {
		return false
	}
	since := c.appended
	if since.IsZero() {
		if len(ends) > 0 {
			return slices.ContainsFunc(ends, func(text string) bool {
				node, number, _ := strings.Cut(text, " ")
				newest, err := strconv.Atoi(number)
				return err == nil && node == c.node && newest >= c.number
			})
		}
		since = c.after
	}
	return !since.IsZero() && (since.Epoch != p.Epoch || since.Compare(p) < 0)
}

// asRefusal wraps what has gone wrong with a broker.
func asRefusal(err error) error {
	var refusal *Refusal
	if errors.As(err, &refusal) {
		return refusal
	}
	return &Refusal{Reason: "broker", Err: err}
}

// replace ends the stream that has an id on this node.
func (h *Hub) replace(id string) {
	c := h.connection(id)
	if c == nil {
		return
	}
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	if c.place != gone {
		c.finish(superseded)
	}
}
