package brokertest

import (
	"runtime/metrics"
	"testing"
	"time"
)

// storms have so many clients come back at once that nothing else should run beside them.
var storms = []check{
	{name: "from the window", run: func(t testing.TB, r Reporter, h Harness) { storm(t, r, h, whole) }},
	{name: "from the log", run: func(t testing.TB, r Reporter, h Harness) { storm(t, r, h, 40) }, asks: keeps},
}

// perClient is how much memory a client of a storm may take, with all that it was told.
const perClient = 64 << 10

// storm has many clients come back at the same moment, from where they were a while ago, all of them to one node: the
// other is dead. The engine is asked little, or nothing where all that they missed is in the hub's window.
func storm(t testing.TB, r Reporter, h Harness, window int) {
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
	if most := int64(crowd) / 50; reads > most {
		r.Errorf("the engine was asked for %d pages, want no more than %d for %d clients that miss the same", reads, most, crowd)
	}
	if window == whole && resolves > crowd/50 {
		r.Errorf("the engine was asked for %d positions that the hub knew", resolves)
	}
}

// heapPeak watches this process's memory. peak ends that, and says by how many bytes it has grown at most.
func heapPeak() (peak func() int64) {
	before, end, ended := heap(), make(chan struct{}), make(chan int64)
	go func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		objects := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		most := before
		for {
			metrics.Read(objects) // which does not stop the world
			most = max(most, int64(objects[0].Value.Uint64()))
			select {
			case <-tick.C:
			case <-end:
				ended <- most - before
				return
			}
		}
	}()
	return func() int64 {
		close(end)
		return <-ended
	}
}
