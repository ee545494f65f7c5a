package redisbroker

import (
	"maps"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

func counts(t testing.TB, b *Broker, names ...string) map[string]int {
	t.Helper()
	got, err := b.Counts(t.Context(), names...)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	s := start(t)
	a, b := s.node(t), s.node(t)
	report := func(n *Broker, node string, lease time.Duration, fresh bool, c map[string]int) {
		t.Helper()
		if err := n.Report(t.Context(), node, lease, fresh, c); err != nil {
			t.Fatal(err)
		}
	}
	are := func(want map[string]int, names ...string) {
		t.Helper()
		for _, n := range []*Broker{a, b} {
			brokertest.Eventually(t, "counts", func() bool { return maps.Equal(counts(t, n, names...), want) })
		}
	}
	are(map[string]int{})
	report(a, "a", time.Minute, true, map[string]int{"user:1": 2, "user:2": 1})
	report(b, "b", time.Minute, true, map[string]int{"user:1": 1, "user:3": 4})
	are(map[string]int{"user:1": 3, "user:2": 1, "user:3": 4})
	are(map[string]int{"user:1": 3, "user:3": 4}, "user:1", "user:3", "nobody")
	report(a, "a", time.Minute, false, map[string]int{"user:1": 0, "user:4": 1})
	are(map[string]int{"user:1": 1, "user:2": 1, "user:3": 4, "user:4": 1})
	report(a, "a", time.Minute, true, map[string]int{"user:5": 1})
	are(map[string]int{"user:1": 1, "user:3": 4, "user:5": 1})
	report(b, "b", 0, false, nil) // b goes
	are(map[string]int{"user:5": 1})
	report(b, "b", 100*time.Millisecond, true, map[string]int{"user:6": 1}) // b dies
	are(map[string]int{"user:5": 1})
	brokertest.Eventually(t, "what the dead node left is taken out", func() bool {
		counts(t, a)
		nodes, err := redis.Strings(s.do(t, "SMEMBERS", a.keys.nodes), nil)
		return err == nil && len(nodes) == 1 && nodes[0] == "a"
	})
	if n, _ := redis.Int64(s.do(t, "EXISTS", a.node("b")), nil); n != 0 {
		t.Error("the dead node's counts are still there")
	}
	many := map[string]int{}
	for i := range 2500 {
		many[string(rune('a'+i%26))+time.Duration(i).String()] = i + 1
	}
	report(a, "a", time.Minute, true, many)
	are(many)
}
