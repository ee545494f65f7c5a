package brokertest

import (
	"errors"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker"
)

// full has a log with no room left: it says so, stores nothing, and can be read all the same.
func full(t testing.TB, r Reporter, h Harness) {
	const size = 20
	nodes := h.nodes(t, 2)
	s := started(t, r, nodes[0], 0)
	positions := numbered(t, nodes[0], 0, size)
	again := h.Full(t)
	for range 3 {
		for i, n := range nodes {
			for _, res := range try(n, attempt, event("refused"), keyed("k", "x")) {
				if !errors.Is(res.Err, broker.ErrFull) && !errors.Is(res.Err, broker.ErrUnavailable) || !res.Position.IsZero() {
					r.Errorf("node %d: appending to a full log: %+v", i, res)
				}
			}
		}
	}
	for _, p := range positions {
		stands(t, r, nodes[0], p, broker.Exact)
	}
	if h.Keeps {
		same(r, "Read", readAll(t, r, nodes[0], s.begin, positions[size-1], 100), 0, positions)
	}
	if h.Keeps && h.Shared { // a node that comes up meanwhile
		same(r, "a later node", started(t, r, h.open(t, nil), 1000).all(), 0, positions)
	}
	if !until(func() bool { return s.count() >= size }) || !s.healthy() {
		r.Errorf("%d of %d entries have come, and State says %v", s.count(), size, s.state)
	}

	again()
	var stored broker.Result
	await(t, "there is room again", func() bool {
		stored = try(nodes[0], patience, keyed("k", "x"))[0]
		return !errors.Is(stored.Err, broker.ErrFull) && !errors.Is(stored.Err, broker.ErrUnavailable)
	})
	if stored.Err != nil || stored.Repeated {
		r.Errorf("a key that was refused: %+v", stored)
	}
	end := store(t, nodes[len(nodes)-1], event("end"))[0]
	if !until(func() bool { all := s.all(); return len(all) > 0 && all[len(all)-1].Position == end }) {
		r.Errorf("what was appended when there was room again does not come")
	}
	all := s.all()
	rising(r, s.begin, all)
	if len(all) != size+2 || string(all[size].Record.Data) != "x" || all[size].Position != stored.Position {
		r.Errorf("%d entries, want %d: %v", len(all), size+2, delivered(s))
		return
	}
	same(r, "tail", all[:size], 0, positions)
}

// fullForAWhile has publishers refused under load. Clients come and go all the same, and so do nodes.
func fullForAWhile(t testing.TB, r Reporter, h Harness) {
	c := newCluster(t, r, h, 2, whole)
	c.audience(10, false)
	c.audience(5, true)
	stop := c.load(3, 0)
	for range 2 {
		c.quota(50)
		again := h.Full(t)
		c.troubled()
		if last := len(c.sites) - 1; last > 0 {
			c.kill(last)
			c.open(last)
		}
		c.troubled()
		again()
		c.quota(50)
		c.settle()
	}
	stop()
	c.judge(noGaps)
}
