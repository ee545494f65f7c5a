package brokertest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// cancelled appends with contexts that end at random moments. Each result has to be true.
func cancelled(t testing.TB, r Reporter, h Harness) {
	n := h.open(t, nil)
	s := started(t, r, n, 0)
	var mu sync.Mutex
	outcomes := map[string]error{}
	var publishing sync.WaitGroup
	for p := range 4 {
		publishing.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(p), 3))
			for i := range 100 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rng.IntN(2000))*time.Microsecond)
				if i%10 == 0 {
					cancel()
				}
				one, two := fmt.Sprintf("%d.%d", p, i), fmt.Sprintf("%d.%d+", p, i)
				results := n.Append(ctx, []broker.Record{event(one), event(two)})
				cancel()
				if len(results) != 2 {
					r.Errorf("%d results for 2 records", len(results))
					return
				}
				mu.Lock()
				outcomes[one], outcomes[two] = results[0].Err, results[1].Err
				mu.Unlock()
			}
		})
	}
	publishing.Wait()
	store(t, n, event("end"))
	if !Until(func() bool { return delivered(s)["end"] == 1 }) {
		r.Errorf("not all has come")
	}
	times := delivered(s)
	for data, err := range outcomes {
		switch got := times[data]; {
		case err == nil && got != 1:
			r.Errorf("%s was acknowledged, and has come %d times", data, got)
		case err != nil && !errors.Is(err, broker.ErrUnknownOutcome) && got != 0:
			r.Errorf("%s was refused (%v), and has come %d times", data, err, got)
		case got > 1:
			r.Errorf("%s has come %d times", data, got)
		}
	}
}

// closed closes a broker that is at work.
func closed(t testing.TB, r Reporter, h Harness) {
	n := h.open(t, nil)
	s := started(t, r, n, 0)
	var publishing sync.WaitGroup
	for range 4 {
		publishing.Go(func() {
			for i := range 1000 {
				if res := try(n, patience, event(fmt.Sprint(i))); res[0].Err != nil {
					if !errors.Is(res[0].Err, broker.ErrClosed) && !isUnavailable(res[0].Err) {
						r.Errorf("appending to a broker that is closed: %v", res[0].Err)
					}
					return
				}
			}
		})
	}
	Eventually(t, "some entries come", func() bool { return s.count() > 20 })
	if err := n.Close(); err != nil {
		r.Errorf("closing: %v", err)
	}
	ended := make(chan struct{})
	go func() { publishing.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(limit):
		t.Fatal("Append does not return after Close")
	}
	s.stop()
}

// nothingIsLeft opens and closes nodes, and looks for goroutines and descriptors.
func nothingIsLeft(t testing.TB, r Reporter, h Harness) {
	use := func() {
		n := h.open(t, nil)
		s := started(t, r, n, 10)
		store(t, n, event("a"), keyed("k", "b"))
		if _, err := n.Resolve(t.Context(), s.begin); err != nil {
			r.Errorf("resolving: %v", err)
		}
		if err := n.Close(); err != nil {
			r.Errorf("closing: %v", err)
		}
		s.stop()
	}
	use() // what is made once for the process stays
	var routines, files int
	Eventually(t, "goroutines have settled", func() bool {
		before := routines
		routines, files = runtime.NumGoroutine(), descriptors()
		return routines == before
	})
	for range 5 {
		use()
	}
	if !Until(func() bool { return runtime.NumGoroutine() <= routines }) {
		r.Errorf("%d goroutines, before it was %d:\n%s", runtime.NumGoroutine(), routines, stacks())
	}
	if !Until(func() bool { return descriptors() <= files }) {
		r.Errorf("%d descriptors, before it was %d", descriptors(), files)
	}
}

// descriptors counts the process's open descriptors; 0 if the system does not list them.
func descriptors() int {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(names)
}

func stacks() string {
	buf := make([]byte, 1<<20)
	var b strings.Builder
	for _, s := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if !strings.Contains(s, "testing.") {
			b.WriteString(s + "\n\n")
		}
	}
	return b.String()
}

// directory tests brokers that have one. What each node reports is seen by all nodes until its lease ends.
func directory(t testing.TB, r Reporter, h Harness) {
	nodes := h.nodes(t, 2)
	first, ok := nodes[0].Broker.(broker.Directory)
	if !ok {
		return
	}
	second := first
	if len(nodes) > 1 {
		second = nodes[1].Broker.(broker.Directory)
	}
	ctx := t.Context()
	counts := func(names ...string) string {
		got, err := second.Counts(ctx, names...)
		if err != nil {
			r.Errorf("counting: %v", err)
		}
		return fmt.Sprint(got)
	}
	expect := func(what, want string, names ...string) {
		r.Helper()
		if !Until(func() bool { return counts(names...) == want }) {
			r.Errorf("%s: got %s, want %s", what, counts(names...), want)
		}
	}
	report := func(d broker.Directory, node string, lease time.Duration, fresh bool, m map[string]int) {
		r.Helper()
		if err := d.Report(ctx, node, lease, fresh, m); err != nil {
			r.Errorf("reporting: %v", err)
		}
	}
	expect("nobody", "map[]")
	report(first, "n1", time.Minute, true, map[string]int{"a": 2, "b": 1, "ü {x}:*": 3})
	report(second, "n2", time.Minute, true, map[string]int{"a": 1})
	expect("a sum over nodes", "map[a:3 b:1 ü {x}:*:3]")
	expect("some names", "map[a:3]", "a", "nobody")
	report(first, "n1", time.Minute, false, map[string]int{"b": 0, "c": 1})
	expect("a change", "map[a:3 c:1 ü {x}:*:3]")
	report(first, "n1", time.Minute, true, map[string]int{"c": 5})
	expect("a fresh start", "map[a:1 c:5]")
	report(second, "n2", 0, false, nil)
	expect("a node's end", "map[c:5]")
	report(second, "n2", 100*time.Millisecond, true, map[string]int{"d": 1})
	expect("a lease that runs out", "map[c:5]")
	report(first, "n1", time.Minute, false, nil)
	expect("a lease renewed", "map[c:5]")
}
