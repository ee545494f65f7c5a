package brokertest

import (
	"errors"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// refusal is how long an Append to a full log may take.
const refusal = 2 * time.Second

// full appends to a log that has no room left. It reports that, stores nothing, and can still be read.
func full(t testing.TB, r Reporter, h Harness) {
	const size = 20
	nodes := h.nodes(t, 2)
	s := started(t, r, nodes[0], 0)
	positions := numbered(t, nodes[0], 0, size)
	again := h.Full(t)
	for range 3 {
		for i, n := range nodes {
			for _, res := range try(n, refusal, event("refused"), keyed("k", "x")) {
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
	if h.Keeps && h.Shared { // a node that is opened meanwhile
		same(r, "a later node", started(t, r, h.open(t, nil), 1000).all(), 0, positions)
	}
	if !Until(func() bool { return s.count() >= size }) || !s.healthy() {
		r.Errorf("%d of %d entries have come, and State says %v", s.count(), size, s.state)
	}

	again()
	var stored broker.Result
	Eventually(t, "there is room again", func() bool {
		stored = try(nodes[0], patience, keyed("k", "x"))[0]
		return !errors.Is(stored.Err, broker.ErrFull) && !errors.Is(stored.Err, broker.ErrUnavailable)
	})
	if stored.Err != nil || stored.Repeated {
		r.Errorf("a key that was refused: %+v", stored)
	}
	end := store(t, nodes[len(nodes)-1], event("end"))[0]
	if !Until(func() bool { all := s.all(); return len(all) > 0 && all[len(all)-1].Position == end }) {
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
