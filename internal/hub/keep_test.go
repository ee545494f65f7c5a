package hub

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/membroker"
)

// longTopics returns a hundred names that no other connection has.
func longTopics(who int) (list []string) {
	for i := range 100 {
		list = append(list, fmt.Sprintf("%d/%d/%s", who, i, strings.Repeat("x", 200)))
	}
	return list
}

// What connections keep takes at most half of the budget, and what they are charged is about what they take.
func TestKeepIsBounded(t *testing.T) {
	const budget = 8 << 20
	h := New("test", membroker.Open(), Settings{Limits: Limits{Memory: budget}})
	defer h.Close()
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	for round := range 2 {
		before := heap()
		var conns []*Conn
		for {
			c, err := h.Subscribe(t.Context(), Subscription{User: "u", Topics: longTopics(len(conns)), Keeps: 5000})
			if r := new(Refusal); errors.As(err, &r) && r.Reason == "memory" {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Next(nil, 1<<20); err != nil {
				t.Fatal(err)
			}
			if conns = append(conns, c); len(conns) > 10_000 {
				t.Fatal("nothing bounds them")
			}
		}
		kept := h.memory.kept.Load()
		took := heap() - before + int64(len(conns))*5000 // these bytes are only charged
		t.Logf("round %d: %d connections are charged %d, and took %d", round, len(conns), kept, took)
		if kept > budget/2 || took > kept+kept/2 || took < kept/2 {
			t.Errorf("round %d: charged %d, took %d", round, kept, took)
		}
		// A connection that keeps little is admitted.
		small, err := h.Subscribe(t.Context(), Subscription{User: "u", Topics: []string{"room", "news"}})
		if err != nil {
			t.Errorf("round %d: a small one: %v", round, err)
		} else {
			small.Close(nil)
		}
		for _, c := range conns {
			c.Close(nil)
		}
		if kept := h.memory.kept.Load(); kept != 0 {
			t.Fatalf("%d bytes are charged for nobody", kept)
		}
	}
}

// However its topics change, a connection is charged for those that it has.
func TestKeepFollowsTopics(t *testing.T) {
	h := New("test", membroker.Open(), Settings{Limits: Limits{Memory: 64 << 20}})
	defer h.Close()
	all := longTopics(1)
	c, err := h.Subscribe(t.Context(), Subscription{User: "u", Topics: slices.Clone(all[:50])})
	if err != nil {
		t.Fatal(err)
	}
	wants := func(n int) {
		t.Helper()
		if _, err := h.Position(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.shard.mu.Lock()
		defer c.shard.mu.Unlock()
		if got, want := h.memory.kept.Load(), h.keep(0, c.topics.list()); got != want || len(c.topics.list()) != n {
			t.Errorf("charged %d for %d topics, want %d for %d", got, len(c.topics.list()), want, n)
		}
	}
	target := broker.Target{Kind: broker.Connection, Name: c.ID}
	wants(50)
	if ok, err := h.Join(context.Background(), target, all[50:]); !ok || err != nil {
		t.Fatal(ok, err)
	}
	wants(100)
	if ok, err := h.Leave(context.Background(), target, all[:30]); !ok || err != nil {
		t.Fatal(ok, err)
	}
	wants(70)
	c.Narrow(func(topic string) bool { return topic == all[99] || topic == all[40] })
	wants(51) // additions stay
	c.Close(nil)
	if kept := h.memory.kept.Load(); kept != 0 {
		t.Errorf("%d bytes are charged for nobody", kept)
	}
}
