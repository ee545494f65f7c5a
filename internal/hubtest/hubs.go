package hubtest

import (
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

// whole is a window that holds all that a case publishes.
const whole = 1 << 20

// roulette has clients that change nodes all the time. One node lags.
func roulette(t testing.TB, r brokertest.Reporter, h brokertest.Harness) {
	c := newCluster(t, r, h, 3, whole)
	if len(c.sites) > 1 {
		if last := c.sites[len(c.sites)-1]; last.proxy != nil {
			last.proxy.Delay(40 * time.Millisecond)
		} else {
			c.kill(len(c.sites) - 1)
			last.lag = 40 * time.Millisecond
			c.open(len(c.sites) - 1)
		}
	}
	c.audience(20, true)
	c.load(4, 150)()
	c.judge(noGaps)
}

// volume publishes much, in large groups.
func volume(t testing.TB, r brokertest.Reporter, h brokertest.Harness) {
	c := newCluster(t, r, h, 2, whole)
	c.audience(5, false)
	rng := rand.New(rand.NewPCG(4, 4))
	for range 200 {
		c.publish(rng, 64)
	}
	c.judge(noGaps)
}

// smallWindow has clients that resume from before the hub's window. If the log keeps its entries, they get them from there.
// Otherwise only clients that had no events meanwhile can resume without a gap.
func smallWindow(t testing.TB, r brokertest.Reporter, h brokertest.Harness) {
	c := newCluster(t, r, h, 2, 40)
	c.audience(15, true)
	c.load(4, 150)()
	if h.Keeps {
		c.judge(noGaps)
	} else {
		c.judge(busyGaps)
	}
}

// nodesRestart kills one node after the other, under load.
func nodesRestart(t testing.TB, r brokertest.Reporter, h brokertest.Harness) {
	c := newCluster(t, r, h, 3, whole)
	c.audience(15, false)
	stop := c.load(3, 0)
	for i := range 4 {
		c.quota(100)
		c.kill(i % len(c.sites))
		if h.Shared {
			c.quota(50) // the others go on
		}
		c.open(i % len(c.sites))
	}
	stop()
	if h.Keeps {
		// A client that resumes after a restart, before anything else is published, finds its place.
		c.settle()
		for i := range c.sites {
			c.kill(i)
		}
		for i := range c.sites {
			c.open(i)
		}
		c.judge(noGaps)
	} else {
		c.judge(anyGaps)
	}
}

// awayPastRetention keeps a node down while the log goes on and is trimmed. Its clients have to be told.
func awayPastRetention(t testing.TB, r brokertest.Reporter, h brokertest.Harness) {
	c := newCluster(t, r, h, 1, whole)
	c.audience(5, false)
	c.load(2, 50)()
	c.settle()
	c.kill(0)
	b := h.Open(t, nil)
	rng := rand.New(rand.NewPCG(2, 2))
	for range 20 {
		var group []*outcome
		var records []broker.Record
		for range 100 {
			o := c.ledger.add([]broker.Target{{Kind: broker.Topic, Name: topics[rng.IntN(len(topics))]}})
			group = append(group, o)
			records = append(records, broker.Record{Targets: o.targets, Data: []byte(strconv.Itoa(o.number))})
		}
		for i, res := range b.Append(t.Context(), records) {
			c.ledger.settle(group[i], res)
		}
	}
	h.Trim(t, 100)
	if err := b.Close(); err != nil {
		r.Errorf("closing: %v", err)
	}
	c.open(0)
	c.judge(anyGaps)
}

// trimmedWhileQuiet trims all entries after every client has got them. No client has missed anything.
func trimmedWhileQuiet(t testing.TB, r brokertest.Reporter, h brokertest.Harness) {
	c := newCluster(t, r, h, 2, whole)
	c.audience(10, false)
	c.load(2, 30)()
	c.settle()
	h.Trim(t, 0)
	if h.Engine != nil && !h.Forgets {
		h.Engine.Kill(t)
		h.Engine.Start(t)
		brokertest.Eventually(t, "every hub is well", c.healthy)
	}
	for i := range c.sites {
		c.kill(i)
		c.open(i)
	}
	c.load(2, 10)()
	c.judge(noGaps)
}
