package brokertest

import (
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// hubs is the suite's second level: what clients get.
var hubs = []check{
	{name: "roulette", run: roulette},
	{name: "volume", run: volume},
	{name: "small window", run: smallWindow},
	{name: "nodes restart", run: nodesRestart},
	{name: "away past retention", run: awayPastRetention, asks: trims},
	{name: "trimmed while quiet", run: trimmedWhileQuiet, asks: trims},
	{name: "full for a while", run: fullForAWhile, asks: fills},
	{name: "newer node", run: newerNode, asks: takesPut},
	{name: "forged records", run: forgedRecords, asks: takesPut},
	{name: "many lives", run: manyLives, asks: keeps},
	{name: "a topic is taken away", run: takenAway, asks: keeps},
	{name: "excluded, and back", run: excludedAfterReconnect},
	{name: "pages in the budget", run: pagesInTheBudget, asks: keeps},
	{name: "clocks apart", run: clocksApart, asks: shared},
	{name: "clock back", run: clockBack, asks: movesClock},
	{name: "clock back, rolled back", run: clockBackRolledBack, asks: func(h Harness) bool { return movesClock(h) && hasEngine(h) }},
	{name: "claims", run: claims, asks: shared},
	{name: "claims beside an older node", run: claimsBesideOlder, asks: shared},
	{name: "offline", run: offline, asks: shared},
	{name: "joins once", run: joinsOnce, asks: shared},
	{name: "presence over a restart", run: presenceOverRestart, asks: keeps},
	{name: "counts of an emptied engine", run: countsOfEmptied, asks: func(h Harness) bool { return h.Shared && hasEngine(h) }},
	{name: "additions", run: additions},
	{name: "engine restarts", run: engineRestarts, asks: hasEngine},
	{name: "engine rolls back", run: engineRollsBack, asks: hasEngine},
	{name: "engine is emptied", run: engineEmptied, asks: hasEngine},
	{name: "engine stops", run: engineStops, asks: hasEngine},
	{name: "bad line", run: badLine, asks: proxied},
	{name: "one node's line", run: oneLine, asks: func(h Harness) bool { return proxied(h) && h.Shared }},
}

// whole is a window that holds all that a case publishes.
const whole = 1 << 20

// roulette has clients that change nodes all the time. One node lags.
func roulette(t testing.TB, r Reporter, h Harness) {
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
func volume(t testing.TB, r Reporter, h Harness) {
	c := newCluster(t, r, h, 2, whole)
	c.audience(5, false)
	rng := rand.New(rand.NewPCG(4, 4))
	for range 400 {
		c.publish(rng, 64)
	}
	c.judge(noGaps)
}

// smallWindow has clients that come back from before the hub's window. Where the log keeps its entries, they are
// to be had from there; otherwise only who heard nothing meanwhile can be spared a gap.
func smallWindow(t testing.TB, r Reporter, h Harness) {
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
func nodesRestart(t testing.TB, r Reporter, h Harness) {
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
		// Who comes back after a restart, before anything else is published, finds his place.
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

// awayPastRetention holds a node back while the log goes on and is trimmed. Its clients have to be told.
func awayPastRetention(t testing.TB, r Reporter, h Harness) {
	c := newCluster(t, r, h, 1, whole)
	c.audience(5, false)
	c.load(2, 50)()
	c.settle()
	c.kill(0)
	n := h.open(t, nil)
	rng := rand.New(rand.NewPCG(2, 2))
	for range 20 {
		var group []*outcome
		var records []broker.Record
		for range 100 {
			o := c.ledger.add([]broker.Target{{Kind: broker.Topic, Name: topics[rng.IntN(len(topics))]}})
			group = append(group, o)
			records = append(records, event(""))
			records[len(records)-1].Targets = o.targets
			records[len(records)-1].Data = []byte(strconv.Itoa(o.number))
		}
		for i, res := range try(n, patience, records...) {
			c.ledger.settle(group[i], res)
		}
	}
	h.Trim(t, 100)
	if err := n.Close(); err != nil {
		r.Errorf("closing: %v", err)
	}
	c.open(0)
	c.judge(anyGaps)
}

// trimmedWhileQuiet: everybody has everything, then all of it is trimmed. Nobody has missed anything.
func trimmedWhileQuiet(t testing.TB, r Reporter, h Harness) {
	c := newCluster(t, r, h, 2, whole)
	c.audience(10, false)
	c.load(2, 30)()
	c.settle()
	h.Trim(t, 0)
	if h.Engine != nil && !h.Forgets {
		h.Engine.Kill(t)
		h.Engine.Start(t)
		await(t, "every hub is well", c.healthy)
	}
	for i := range c.sites {
		c.kill(i)
		c.open(i)
	}
	c.load(2, 10)()
	c.judge(noGaps)
}
