package brokertest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// delivered counts the events that have come, by data.
func delivered(s *tail) map[string]int {
	n := map[string]int{}
	for _, e := range s.all() {
		if e.Record.Kind == broker.Event {
			n[string(e.Record.Data)]++
		}
	}
	return n
}

// keys stores records under idempotency keys.
func keys(t testing.TB, r Reporter, h Harness) {
	n := h.open(t, nil)
	s := started(t, r, n, 0)
	group := try(n, patience, keyed("k", "a"), event("x"), keyed("k", "a"), keyed("k", "b"), keyed("l", "a"), event("x"))
	if len(group) != 6 {
		t.Fatalf("%d results for 6 records", len(group))
	}
	for i, res := range group {
		if want := map[int]error{3: broker.ErrKeyReused}[i]; !errors.Is(res.Err, want) || res.Repeated != (i == 2) {
			r.Errorf("record %d: %+v, want error %v", i, res, want)
		}
	}
	if group[2].Position != group[0].Position || group[4].Position == group[0].Position {
		r.Errorf("one position for each key, got %+v", group)
	}
	for range 3 {
		again := try(n, patience, keyed("k", "a"), keyed("k", "b"))
		if again[0].Err != nil || !again[0].Repeated || again[0].Position != group[0].Position {
			r.Errorf("a second time: %+v, want it at %s", again[0], group[0].Position)
		}
		if !errors.Is(again[1].Err, broker.ErrKeyReused) {
			r.Errorf("the key for something else: %+v", again[1])
		}
	}
	store(t, n, event("end"))
	if !Until(func() bool { return delivered(s)["end"] == 1 }) {
		r.Errorf("not all has come")
	}
	for data, want := range map[string]int{"a": 2, "x": 2, "b": 0} {
		if got := delivered(s)[data]; got != want {
			r.Errorf("%q was stored %d times, want %d", data, got, want)
		}
	}
}

// keysOnTwoNodes uses the same keys on two nodes at once. The second publisher is told of the first one's event.
func keysOnTwoNodes(t testing.TB, r Reporter, h Harness) {
	const n = 50
	nodes := h.nodes(t, 2)
	s := started(t, r, nodes[0], 0)
	results := [2][n]broker.Result{}
	var publishing sync.WaitGroup
	for side, b := range nodes {
		publishing.Go(func() {
			for i := range n {
				results[side][i] = try(b, patience, keyed(fmt.Sprint("k", i), fmt.Sprint(i)))[0]
			}
		})
	}
	publishing.Wait()
	for i := range n {
		a, b := results[0][i], results[1][i]
		if a.Err != nil || b.Err != nil || a.Position != b.Position || a.Repeated == b.Repeated {
			r.Errorf("key %d on two nodes: %+v and %+v", i, a, b)
		}
	}
	if res := try(nodes[1], patience, keyed("k0", "other")); !errors.Is(res[0].Err, broker.ErrKeyReused) {
		r.Errorf("the key for something else: %+v", res[0])
	}
	store(t, nodes[1], event("end"))
	if !Until(func() bool { return delivered(s)["end"] == 1 }) {
		r.Errorf("not all has come")
	}
	for data, times := range delivered(s) {
		if times != 1 {
			r.Errorf("%q was stored %d times", data, times)
		}
	}
}

// keysAcrossRestart uses keys again after a restart of the node, and of the engine.
func keysAcrossRestart(t testing.TB, r Reporter, h Harness) {
	n := h.open(t, nil)
	first := store(t, n, keyed("k", "a"), event("x"), keyed("l", "b"))
	repeated := func(what string) {
		r.Helper()
		again := try(n, patience, keyed("k", "a"), keyed("l", "b"), keyed("k", "c"))
		for i, p := range []broker.Position{first[0], first[2]} {
			if again[i].Err != nil || !again[i].Repeated || again[i].Position != p {
				r.Errorf("%s: %+v, want it at %s", what, again[i], p)
			}
		}
		if !errors.Is(again[2].Err, broker.ErrKeyReused) {
			r.Errorf("%s, the key for something else: %+v", what, again[2])
		}
	}
	if err := n.Close(); err != nil {
		r.Errorf("closing: %v", err)
	}
	n = h.open(t, nil)
	repeated("after the node's restart")
	if h.Engine != nil && !h.Forgets {
		h.Engine.Kill(t)
		h.Engine.Start(t)
		s := started(t, r, n, 0)
		repeated("after the engine's restart")
		s.stop()
	}
}

// keyWindow is how long an idempotency key is remembered.
const keyWindow = 10 * time.Minute

// keysAfterTheirTime uses keys again when they are no longer remembered: the events are new.
func keysAfterTheirTime(t testing.TB, r Reporter, h Harness) {
	if !h.InProcess {
		keysAge(t, r, h)
		return
	}
	synctest.Test(t.(*testing.T), func(t *testing.T) {
		h := h.Fresh(t)
		h.Later = func(_ testing.TB, d time.Duration) { time.Sleep(d) }
		keysAge(t, r, h)
	})
}

func keysAge(t testing.TB, r Reporter, h Harness) {
	n := h.open(t, nil)
	later := func(d time.Duration) {
		t.Helper()
		if !h.Keeps {
			h.Later(t, d)
			return
		}
		if err := n.Close(); err != nil {
			r.Errorf("closing: %v", err)
		}
		h.Later(t, d)
		n = h.open(t, nil)
	}
	first := store(t, n, keyed("k", "a"), keyed("l", "b"))
	later(keyWindow - time.Minute)
	if res := try(n, patience, keyed("k", "a"))[0]; res.Err != nil || !res.Repeated || res.Position != first[0] {
		r.Errorf("a minute before its time is over: %+v, want it at %s", res, first[0])
	}
	later(2 * time.Minute)
	again := try(n, patience, keyed("k", "a"), keyed("l", "other"), keyed("k", "a"), event("end"))
	for i, res := range again {
		if res.Err != nil || res.Repeated != (i == 2) || res.Position == first[0] {
			r.Errorf("record %d, after its key's time: %+v", i, res)
		}
	}
	if again[2].Position != again[0].Position {
		r.Errorf("a second time: at %s, want %s", again[2].Position, again[0].Position)
	}
	s := started(t, r, n, 100)
	if !Until(func() bool { return delivered(s)["end"] == 1 }) {
		r.Errorf("not all has come")
	}
	for data, want := range map[string]int{"a": 2, "b": 1, "other": 1} {
		if got := delivered(s)[data]; got != want {
			r.Errorf("%q was stored %d times, want %d", data, got, want)
		}
	}
}
