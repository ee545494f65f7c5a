package brokertest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// engineAway kills the engine, and starts it again with all that it had.
func engineAway(t testing.TB, r Reporter, h Harness) {
	n := h.open(t, nil)
	s := started(t, r, n, 0)
	positions := numbered(t, n, 0, 20)
	h.Engine.Kill(t)
	start := time.Now()
	for _, res := range try(n, 2*time.Second, event("x"), keyed("x", "x")) {
		if res.Err == nil || !isUnavailable(res.Err) {
			r.Errorf("appending without an engine: %+v", res)
		}
	}
	if took := time.Since(start); took > 10*time.Second {
		r.Errorf("an append whose context ended after 2 s took %s", took)
	}
	if !Until(s.unhealthy) {
		r.Errorf("State does not say that the engine is away")
	}
	h.Engine.Start(t)
	if !Until(s.healthy) {
		r.Errorf("State does not say that the engine is back")
	}
	positions = append(positions, numbered(t, n, 20, 20)...)
	if !Until(func() bool { all := s.all(); return len(all) > 0 && all[len(all)-1].Position == positions[39] }) {
		r.Errorf("what was appended after the engine's return does not come")
	}
	if h.Forgets {
		return
	}
	var known []broker.Entry
	for _, e := range s.all() {
		if string(e.Record.Data) != "x" { // it may have been stored if its outcome was unknown
			known = append(known, e)
		}
	}
	same(r, "tail", known, 0, positions)
	for _, p := range positions {
		stands(t, r, n, p, broker.Exact)
	}
}

// engineRolledBack rolls the engine back twice. Lost positions are known as lost, on the node that saw them and on another.
func engineRolledBack(t testing.TB, r Reporter, h Harness) {
	n := h.open(t, nil)
	s := started(t, r, n, 0)
	kept := numbered(t, n, 0, 20)
	if !Until(func() bool { return s.count() >= 20 }) {
		r.Errorf("%d of 20 entries have come", s.count())
	}
	restore := h.Engine.Snapshot(t)
	for round := range 2 {
		seen := s.count()
		lost := numbered(t, n, 100, 10)
		if !Until(func() bool { return s.count() >= seen+10 }) {
			r.Errorf("%d of 10 entries have come", s.count()-seen)
		}
		restore()
		if !Until(func() bool { all := s.all(); return all[len(all)-1].Record.Kind == broker.Hole }) {
			r.Errorf("round %d: no hole is handed on", round)
			return
		}
		if !Until(s.healthy) {
			r.Errorf("round %d: State stays at %v", round, s.state)
		}
		nodes := []*node{n}
		if h.Shared {
			nodes = append(nodes, h.open(t, nil))
			started(t, r, nodes[1], 0)
		}
		for i, b := range nodes {
			for _, p := range kept {
				stands(t, r, b, p, broker.Exact, broker.Lost)
			}
			for _, p := range lost {
				stands(t, r, b, p, broker.Lost, broker.Unknown)
				if got, err := b.Read(t.Context(), p, lost[9], 10); !errors.Is(err, broker.ErrLost) && !errors.Is(err, broker.ErrUnknown) {
					r.Errorf("node %d: Read after a lost entry: %d entries, %v", i, len(got), err)
				}
			}
		}
		more := numbered(t, n, 200, 5)
		for _, p := range more {
			for _, q := range append(lost, kept...) {
				if p == q {
					r.Errorf("%s was given out twice", p)
				}
			}
		}
		if !Until(func() bool { all := s.all(); return all[len(all)-1].Position == more[4] }) {
			r.Errorf("what was appended after the rollback does not come")
		}
		holes := 0
		for _, e := range s.all() {
			if e.Record.Kind == broker.Hole {
				holes++
			}
		}
		if holes != round+1 {
			r.Errorf("%d holes after %d rollbacks", holes, round+1)
		}
		rising(r, s.begin, s.all())
	}
}

// untilHole is how long a broker has to notice that its engine has lost entries. Tests of the suite itself, with a broker that
// never does, shorten it.
var untilHole = limit / 2

// unreadRolledBack has the engine lose acknowledged entries before any tail has read them: only the node that appended them
// can know.
func unreadRolledBack(t testing.TB, r Reporter, h Harness) {
	n := h.open(t, nil)
	var kept []broker.Position
	Eventually(t, "the engine is there", func() bool {
		res := try(n, patience, event("kept"))
		kept = []broker.Position{res[0].Position}
		return res[0].Err == nil
	})
	restore := h.Engine.Snapshot(t)
	for round := range 2 {
		s := &tail{}
		s.hold()
		s.follow(t, r, n, 0)
		Eventually(t, "Tail begins", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.begun > 0
		})
		unread := numbered(t, n, 100, 3)
		restore()
		s.release()
		holed := func() bool {
			all := s.all()
			return len(all) > 0 && all[len(all)-1].Record.Kind == broker.Hole
		}
		if !within(untilHole, holed) || !Until(s.healthy) {
			r.Errorf("round %d: %d entries and no hole have come, and State is %v", round, len(s.all()), s.state)
			return
		}
		for _, p := range unread {
			stands(t, r, n, p, broker.Lost, broker.Unknown)
		}
		stands(t, r, n, kept[0], broker.Exact, broker.Lost)
		next := numbered(t, n, 200, 1)[0]
		if next.Epoch == unread[0].Epoch { // otherwise a hub would wait for what it has published
			r.Errorf("round %d: %s comes in the life of what was lost, %s", round, next, unread[0])
		}
		if !Until(func() bool { all := s.all(); return all[len(all)-1].Position == next }) {
			r.Errorf("round %d: what was appended after the rollback does not come", round)
		}
		rising(r, s.begin, s.all())
		s.stop()
	}
}

// engineAwayAtOpen opens a node before its engine is there. The node reports that, and follows the log once it can.
func engineAwayAtOpen(t testing.TB, r Reporter, h Harness) {
	h.Engine.Kill(t)
	n := h.open(t, nil)
	s := follow(t, r, n, 10)
	if !Until(s.unhealthy) {
		r.Errorf("State does not say that the engine is away")
	}
	if res := try(n, time.Second, event("x")); !isUnavailable(res[0].Err) {
		r.Errorf("appending without an engine: %+v", res[0])
	}
	if _, err := n.Resolve(t.Context(), broker.Position{Epoch: 1, Minor: 1}); err == nil {
		r.Errorf("a position is resolved without an engine")
	}
	h.Engine.Start(t)
	if !Until(s.healthy) {
		r.Errorf("State does not say that the engine is there")
	}
	store(t, n, event("y"))
	if !Until(func() bool { return delivered(s)["y"] == 1 }) {
		r.Errorf("what was appended does not come: %s", fmt.Sprint(delivered(s)))
	}
	rising(r, s.begin, s.all())
}
