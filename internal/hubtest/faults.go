package hubtest

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

// kept returns which gaps are allowed if an engine died and came back with its disk.
func kept(h brokertest.Harness) gaps {
	if h.Forgets {
		return anyGaps
	}
	return noGaps
}

// engineRestarts kills the engine under load, and starts it again with its disk.
func engineRestarts(t testing.TB, r brokertest.Reporter, h brokertest.Harness) {
	c := newCluster(t, r, h, 2, whole)
	c.audience(10, false)
	stop := c.load(3, 0)
	for i := range 3 {
		c.quota(100)
		h.Engine.Kill(t)
		if i == 0 {
			c.troubled()
		}
		h.Engine.Start(t)
		c.quota(10)
		c.settle()
	}
	stop()
	c.judge(kept(h))
}

// engineRollsBack rolls the engine back under load, twice to the same state.
func engineRollsBack(t testing.TB, r brokertest.Reporter, h brokertest.Harness) {
	c := newCluster(t, r, h, 2, whole)
	c.keyed = false // a key may be lost with its event
	c.audience(10, false)
	stop := c.load(3, 0)
	c.quota(50)
	restore := h.Engine.Snapshot(t)
	for range 2 {
		c.quota(100)
		c.settle() // clients have seen events that are going to be lost
		c.ledger.loses()
		restore()
		c.quota(20)
		c.settle()
	}
	stop()
	c.judge(anyGaps)
}

// engineEmptied has the engine lose everything.
func engineEmptied(t testing.TB, r brokertest.Reporter, h brokertest.Harness) {
	c := newCluster(t, r, h, 2, whole)
	c.keyed = false
	c.audience(10, false)
	stop := c.load(3, 0)
	c.quota(100)
	c.settle()
	c.ledger.loses()
	h.Engine.Empty(t)
	c.quota(50)
	stop()
	c.judge(anyGaps)
}

// engineStops stops the engine for a while, as on a machine that swaps.
func engineStops(t testing.TB, r brokertest.Reporter, h brokertest.Harness) {
	c := newCluster(t, r, h, 2, whole)
	c.audience(10, false)
	stop := c.load(3, 0)
	c.quota(100)
	h.Engine.Freeze(t)
	c.troubled()
	h.Engine.Thaw(t)
	c.quota(100)
	stop()
	c.judge(noGaps)
}

// badLine breaks every node's connections to its engine in every way, one after the other.
func badLine(t testing.TB, r brokertest.Reporter, h brokertest.Harness) {
	c := newCluster(t, r, h, 2, whole)
	c.audience(10, true)
	stop := c.load(3, 0)
	rng := rand.New(rand.NewPCG(3, 3))
	for range 2 {
		for _, bad := range []func(p *brokertest.Proxy){
			(*brokertest.Proxy).Cut,
			func(p *brokertest.Proxy) { p.CutAfter(1 + rng.IntN(3000)) },
			func(p *brokertest.Proxy) { p.CutAfter(1 + rng.IntN(300)) },
			(*brokertest.Proxy).HalfOpen,
			func(p *brokertest.Proxy) { p.Delay(100 * time.Millisecond) },
			(*brokertest.Proxy).Cut,
			func(p *brokertest.Proxy) { p.Delay(0) },
		} {
			for _, s := range c.sites {
				bad(s.proxy)
			}
			c.quota(30)
		}
	}
	stop()
	c.judge(noGaps)
}

// oneLine cuts one node off from its engine: first the connection is silent, then it is refused. Its clients catch up.
func oneLine(t testing.TB, r brokertest.Reporter, h brokertest.Harness) {
	c := newCluster(t, r, h, 2, whole)
	c.audience(10, false)
	stop := c.load(3, 0)
	for _, fault := range []struct{ begin, end func(*brokertest.Proxy) }{{(*brokertest.Proxy).Freeze, (*brokertest.Proxy).Thaw}, {(*brokertest.Proxy).Down, (*brokertest.Proxy).Up}} {
		c.quota(50)
		fault.begin(c.sites[1].proxy)
		hub := c.sites[1].hub
		brokertest.Eventually(t, "the node says that it hears nothing", func() bool { return hub.Health() != nil })
		c.quota(10) // on the other: here, each attempt takes all of its time
		fault.end(c.sites[1].proxy)
		c.settle()
	}
	stop()
	c.judge(noGaps)
}
