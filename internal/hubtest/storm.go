package hubtest

import (
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

// storms have so many clients reconnect at once that no other case should run meanwhile. If the window has all that they
// missed, the engine is asked for nothing: then it does not matter which one it is.
var storms = []brokertest.Case{
	{Name: "from the window", Run: stormWithin(whole), Needs: inProcess, Alone: true},
	{Name: "from the log", Run: stormWithin(40), Needs: keeps, Alone: true},
}

// perClient is how much memory a client of a storm may take, with all that it was told.
const perClient = 64 << 10

func stormWithin(window int) func(testing.TB, brokertest.Reporter, brokertest.Harness) {
	return func(t testing.TB, r brokertest.Reporter, h brokertest.Harness) { storm(t, r, h, window) }
}

// storm has many clients resume at the same moment, all of them on one node: the other is dead. The engine is asked for little,
// or for nothing if the hub's window has all that they missed.
func storm(t testing.TB, r brokertest.Reporter, h brokertest.Harness, window int) {
	c := newCluster(t, r, h, 2, window)
	c.audience(crowd, false)
	c.load(2, 5)()
	c.settle()
	back := c.depart()
	if last := len(c.sites) - 1; last > 0 {
		c.kill(last)
	}
	c.load(2, 25)()
	calls := c.sites[0].calls
	reads, resolves := calls.reads.Load(), calls.resolves.Load()
	start, heap := time.Now(), heapPeak()
	back()
	c.settle()
	took, peak := time.Since(start), heap()
	reads, resolves = calls.reads.Load()-reads, calls.resolves.Load()-resolves
	c.judge(noGaps)

	r.Logf("%d clients took %s to catch up, and %d KiB each; the engine was asked for %d pages and %d positions",
		crowd, took.Round(time.Millisecond), peak/crowd>>10, reads, resolves)
	if peak > crowd*perClient {
		r.Errorf("%d clients took %d MiB", crowd, peak>>20)
	}
	const most = 20 + crowd/100 // a page for each place where some of them stand is shared by all, and some are read twice
	if reads > most {
		r.Errorf("the engine was asked for %d pages, want no more than %d for %d clients that miss the same", reads, most, crowd)
	}
	if window == whole && resolves > most {
		r.Errorf("the engine was asked for %d positions that the hub knew", resolves)
	}
}
