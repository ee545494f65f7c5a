package hubtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// cluster is several hubs on one log, with clients, publishers and the oracle.
type cluster struct {
	t      testing.TB
	r      brokertest.Reporter
	h      brokertest.Harness
	window int // events in each hub's
	ledger ledger
	keyed  bool // publishers use idempotency keys, and retry until they know the outcome

	mu    sync.RWMutex // guards sites
	sites []*site

	clients  []*client
	marked   atomic.Pointer[outcome] // the event for all that settle waits for
	presence presence
	stop     context.CancelFunc
	ctx      context.Context
}

// site is a node: a hub on a broker of its own. While it is down, hub is nil.
type site struct {
	proxy *brokertest.Proxy // nil if the engine is not reached by TCP
	calls *counted
	hub   *hub.Hub
	lag   time.Duration
	ahead time.Duration // its clock
}

// newCluster opens sites on the harness's log, or one if it cannot be shared.
func newCluster(t testing.TB, r brokertest.Reporter, h brokertest.Harness, sites, window int) *cluster {
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
			s.proxy = brokertest.NewProxy(t, h.Addr)
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
	calls := &counted{Broker: openAhead(c.t, c.h, s.proxy, s.ahead), lag: s.lag}
	h := hub.New(fmt.Sprint("node ", i), calls, settings(c.window))
	c.mu.Lock()
	s.hub, s.calls = h, calls
	c.mu.Unlock()
	brokertest.Eventually(c.t, "the hub is ready", func() bool { return well(h) })
}

// kill ends a site as the death of its process would: no client is told.
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

// pick returns a copy of a site that is up; nil if there is none.
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

// topics are those that publishers publish to. One more is quiet.
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
	brokertest.Eventually(c.t, "every client has connected", func() bool {
		for _, cl := range c.clients {
			if cl.at.Load() == nil {
				return false
			}
		}
		return true
	})
}

// judge stops the cluster, and has the oracle check what the clients were told.
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
