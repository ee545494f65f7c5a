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

// claims has the ids that connections of this node have taken, each with the numbers of its claims, oldest first. nodes.mu
// guards it.
type claims struct {
	held map[string][]int
	last int
	busy map[string]chan struct{} // ids that are being claimed; closed when that is done
}

// newest returns the number of the newest claim to an id, or 0. It is what other nodes see.
func (c *claims) newest(id string) int {
	if held := c.held[id]; len(held) > 0 {
		return held[len(held)-1]
	}
	return 0
}

// claim is a connection's claim to an id that an older stream may have.
type claim struct {
	node     string
	number   int             // counts this node's claims
	appended broker.Position // the position of the record that ends streams on other nodes; zero if there were none to end
	after    broker.Position // the end of the log when the claim was made, as this node had it
}

// claimAgain is how long a client is sent away if the log has no room for the record that its claim needs.
const claimAgain = 5 * time.Second

// claim gives a connection an id that an older stream may have. All connections with that id on this node are in one shard. The
// claim is registered in the directory. If another node has a claim to the same id, a record in the log ends the stream there.
// If several claims are made at once, each sees at least those that were registered before it, and the one whose record comes
// last wins.
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
	if ctx.Err() != nil { // the client has gone, and may be back with another stream: this record must not end that one
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
		_ = h.reach(ctx, result.Position) // until then it counts as reserved
	}
	return result.Err
}

// begin waits until no other connection of this node is claiming the id, so that claims are numbered in the order of their
// records.
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

// claim registers a claim of this node.
func (n *nodes) claim(id string, end broker.Position) *claim {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.claims.last = max(n.claims.last+1, int(time.Now().UnixMilli())) // the newer of two nodes' claims has the higher number, give or take their clocks
	n.claims.held[id] = append(n.claims.held[id], n.claims.last)
	return &claim{node: n.name, number: n.claims.last, after: end}
}

func claimText(node string, number int) string { return node + " " + strconv.Itoa(number) }

// holders returns the claims that other nodes have to an id, once they can see this node's. all is true if that is not known:
// the directory does not answer, or there is a node of an older version, which makes no claims.
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
		case o.Silent || n.stalled(o): // when it is back, it gives up what others have taken
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

// reclaim is called after a time in which other nodes could not see this node's claims, or may have taken it for dead. It ends
// streams here whose ids have newer claims elsewhere, and has other nodes end theirs if this node's are newer.
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

// supersede has other nodes end streams, if the log has room for the record.
func (h *Hub) supersede(ctx context.Context, id string, claims []string) {
	room, done := h.chatter.reserve(h.window, takeoverShare, 1)
	defer done()
	if room == 0 {
		return
	}
	h.append(ctx, []broker.Record{{Kind: broker.Supersede, Targets: []broker.Target{{Kind: broker.Connection, Name: id}}, Ends: claims}})
}

// since reports whether the claim was made after another one on this node.
func (c *claim) since(o *claim) bool {
	return c != nil && o != nil && c.number > o.number
}

// endedBy reports whether a record of another claim, at a position of the log, ends this one. A claim that has a record of its
// own gives way to every record after it. One that has none gives way if the record names it or a newer one of its node, or
// names none at all, as those of older versions do.
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

// asRefusal returns a broker's error as a *Refusal.
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
		c.finish(superseded, 0)
	}
}
