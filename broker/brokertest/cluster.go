package brokertest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// cluster is several hubs on one log, with clients, publishers and the oracle.
type cluster struct {
	t      testing.TB
	r      Reporter
	h      Harness
	window int // events in each hub's
	ledger ledger
	keyed  bool // publishers use idempotency keys, and try again until they know

	mu    sync.RWMutex // guards sites
	sites []*site

	clients  []*client
	presence presence
	stop     context.CancelFunc
	ctx      context.Context
}

// site is a node: a hub on a broker of its own. While it is down, hub is nil.
type site struct {
	proxy *Proxy // nil where the engine is not reached by TCP
	calls *counted
	hub   *hub.Hub
	lag   time.Duration
	ahead time.Duration // its clock
}

// newCluster opens sites on the harness's log; one where it cannot be shared.
func newCluster(t testing.TB, r Reporter, h Harness, sites, window int) *cluster {
	t.Helper()
	c := &cluster{t: t, r: r, h: h, window: window, keyed: !h.Forgets}
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.ledger.forgets = !h.Keeps
	c.presence.begin()
	if !h.Shared {
		sites = 1
	}
	for i := range sites {
		s := &site{}
		if h.Addr != "" {
			s.proxy = NewProxy(t, h.Addr)
		}
		c.sites = append(c.sites, s)
		c.open(i)
	}
	t.Cleanup(func() {
		c.stop()
		for _, client := range c.clients {
			<-client.gone
		}
		for i := range c.sites {
			c.kill(i)
		}
	})
	return c
}

// open starts a site's hub, and waits until it is ready.
func (c *cluster) open(i int) {
	c.t.Helper()
	s := c.sites[i]
	calls := &counted{Broker: c.h.ahead(c.t, s.proxy, s.ahead), lag: s.lag}
	h := hub.New(fmt.Sprint("node ", i), calls, hub.Settings{
		History: hub.History{Events: c.window, Age: time.Hour, Bytes: 256 << 20},
		Limits:  hub.Limits{Pending: 64 << 10},
	})
	c.mu.Lock()
	s.hub, s.calls = h, calls
	c.mu.Unlock()
	await(c.t, "the hub is ready", func() bool { return well(h) })
}

// kill ends a site as a process's death does: nothing is said to anybody.
func (c *cluster) kill(i int) {
	c.mu.Lock()
	h := c.sites[i].hub
	c.sites[i].hub = nil
	c.mu.Unlock()
	if h != nil {
		if err := h.Close(); err != nil {
			c.r.Errorf("closing node %d: %v", i, err)
		}
	}
}

// pick returns a site that is up, as it is now; nil where there is none.
func (c *cluster) pick(rng *rand.Rand) *site {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, i := range rng.Perm(len(c.sites)) {
		if s := c.sites[i]; s.hub != nil {
			copied := *s
			return &copied
		}
	}
	return nil
}

// healthy reports whether every site hears from its broker.
func (c *cluster) healthy() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, s := range c.sites {
		if s.hub != nil && !well(s.hub) {
			return false
		}
	}
	return true
}

// well reports whether a hub hears from its broker. It may know of a record that is too new for it.
func well(h *hub.Hub) bool {
	err := h.Health()
	return err == nil || errors.Is(err, broker.ErrNewer)
}

// topics that publishers publish to; one more is quiet.
var topics = []string{"orders/1", "orders/2", "news"}

// audience adds clients, and waits until each has connected. Every fifth hears a topic that is quiet.
func (c *cluster) audience(n int, roams bool) {
	c.t.Helper()
	for range n {
		i := len(c.clients)
		cl := &client{
			name: fmt.Sprint("client ", i), rng: rand.New(rand.NewPCG(rand.Uint64(), uint64(i))), cluster: c, gone: make(chan struct{}),
		}
		cl.roams.Store(roams)
		switch i % 5 {
		case 0:
			cl.topics, cl.quiet = []string{"quiet"}, true
		case 1:
			cl.topics = []string{"orders/*"}
		case 2:
			cl.topics, cl.user = []string{"news", "orders/1"}, "u"
		case 3:
			cl.topics = []string{"**"}
		case 4:
			cl.user = "u"
		}
		c.clients = append(c.clients, cl)
		go cl.run(c.ctx)
	}
	await(c.t, "every client has connected", func() bool {
		for _, cl := range c.clients {
			if cl.at.Load() == nil {
				return false
			}
		}
		return true
	})
}

// attempt is how long a publish may take, as in the real hub.
const attempt = 2 * time.Second

// publish publishes a group of events, on any node, and notes what became of them. With keys, some are published
// again, as by an app that is not sure.
func (c *cluster) publish(rng *rand.Rand, n int) {
	keyed := c.keyed && rng.IntN(2) == 0
	var group []*outcome
	for range n {
		to := []broker.Target{{Kind: broker.Topic, Name: topics[rng.IntN(len(topics))]}}
		if rng.IntN(4) == 0 {
			to = append(to, broker.Target{Kind: broker.User, Name: "u"})
		}
		group = append(group, c.ledger.add(to))
	}
	again := rng.IntN(4) == 0
	for tries := 0; tries < 20; tries++ {
		open := c.send(rng, group, keyed)
		switch {
		case !keyed:
			return
		case open == 0 && !again:
			return
		case open == 0:
			again = false
		}
	}
}

// send makes one attempt, and returns how many events of the group are not acknowledged.
func (c *cluster) send(rng *rand.Rand, group []*outcome, keyed bool) (open int) {
	s := c.pick(rng)
	if s == nil {
		pause(c.ctx, 2*time.Millisecond)
		return len(group)
	}
	return c.sendBy(s, group, keyed)
}

// sendBy is send by one node.
func (c *cluster) sendBy(s *site, group []*outcome, keyed bool) (open int) {
	records := make([]broker.Record, len(group))
	for i, o := range group {
		text := strconv.Itoa(o.number)
		records[i] = broker.Record{Targets: o.targets, Data: []byte(text)}
		if keyed {
			records[i].Key = "k" + text
			sum := sha256.Sum256([]byte(text))
			copy(records[i].Digest[:], sum[:])
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), attempt)
	defer cancel()
	results := s.hub.Publish(ctx, records)
	if len(results) != len(group) {
		c.r.Errorf("%d results for %d records", len(results), len(group))
		return 0
	}
	for i, o := range group {
		c.ledger.settle(o, results[i])
		if results[i].Err != nil {
			open++
		}
	}
	if open > 0 {
		pause(c.ctx, 5*time.Millisecond)
	}
	return open
}

// load publishes from several sides until stop is called, or each side has published count groups; 0: no bound.
// stop waits for the publishers.
func (c *cluster) load(sides, count int) (stop func()) {
	ctx, cancel := context.WithCancel(c.ctx)
	var publishing sync.WaitGroup
	for side := range sides {
		seed := rand.Uint64()
		publishing.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(side)))
			for i := 0; (count == 0 || i < count) && ctx.Err() == nil; i++ {
				c.publish(rng, 1+rng.IntN(5))
				if count == 0 {
					pause(ctx, time.Duration(1+rng.IntN(4))*time.Millisecond)
				}
			}
		})
	}
	return func() {
		if count > 0 {
			publishing.Wait()
		}
		cancel()
		publishing.Wait()
	}
}

// troubled waits until some publishers have been told that it does not work.
func (c *cluster) troubled() {
	c.t.Helper()
	_, refusals, unsure := c.ledger.counts()
	await(c.t, "publishers are refused", func() bool {
		_, nowRefusals, nowUnsure := c.ledger.counts()
		return nowRefusals+nowUnsure > refusals+unsure
	})
}

// quota waits until some more events have been acknowledged.
func (c *cluster) quota(n int) {
	c.t.Helper()
	before, _, _ := c.ledger.counts()
	await(c.t, "events are acknowledged", func() bool {
		now, _, _ := c.ledger.counts()
		return now >= before+n
	})
}

// mark publishes one event for all until it is acknowledged, and returns its position.
func (c *cluster) mark() broker.Position {
	c.t.Helper()
	rng := rand.New(rand.NewPCG(1, 1))
	var o *outcome
	await(c.t, "an event is acknowledged", func() bool {
		o = c.ledger.add([]broker.Target{{Kind: broker.Broadcast}})
		return c.send(rng, []*outcome{o}, false) == 0
	})
	return o.pos
}

// settle publishes an event for all, and waits until every client has come to it.
func (c *cluster) settle() {
	c.t.Helper()
	await(c.t, "every hub is well", c.healthy)
	end := c.mark()
	behind := func() *client {
		for _, cl := range c.clients {
			if at := cl.at.Load(); at == nil || !c.ledger.reached(*at, end) {
				return cl
			}
		}
		return nil
	}
	if !until(func() bool { return behind() == nil }) {
		cl := behind()
		c.r.Errorf("%s does not come to %s, it is at %s", cl.name, end, cl.at.Load())
	}
}

// judge ends the cluster's life, and has the oracle look at it.
func (c *cluster) judge(allowed gaps) {
	c.t.Helper()
	for _, cl := range c.clients {
		cl.roams.Store(false)
	}
	c.settle()
	c.stop()
	for _, cl := range c.clients {
		<-cl.gone
	}
	acked, refusals, unsure := c.ledger.counts()
	items := 0
	for _, cl := range c.clients {
		items += len(cl.items)
	}
	c.r.Logf("%d events acknowledged, %d refused, %d unknown; %d clients were told %d things", acked, refusals, unsure, len(c.clients), items)
	c.ledger.check(c.r, c.clients, allowed)
}

// counted is a broker whose reads are counted, and whose Tail may lag.
type counted struct {
	broker.Broker
	lag time.Duration

	reads, resolves atomic.Int64 // calls
}

func (b *counted) Read(ctx context.Context, after, upTo broker.Position, limit int) ([]broker.Entry, error) {
	b.reads.Add(1)
	return b.Broker.Read(ctx, after, upTo, limit)
}

func (b *counted) Resolve(ctx context.Context, p broker.Position) (broker.Standing, error) {
	b.resolves.Add(1)
	return b.Broker.Resolve(ctx, p)
}

func (b *counted) Tail(ctx context.Context, last int, sink broker.Sink) error {
	return b.Broker.Tail(ctx, last, &lagging{sink, ctx, b.lag})
}

// lagging hands on late.
type lagging struct {
	broker.Sink
	ctx context.Context
	lag time.Duration
}

func (s *lagging) Deliver(batch []broker.Entry) {
	if s.lag > 0 {
		pause(s.ctx, s.lag)
	}
	s.Sink.Deliver(batch)
}
