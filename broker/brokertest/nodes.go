package brokertest

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// roster returns a node's directory; nil if it has none that tells nodes apart.
func roster(n *node) broker.Roster {
	d, _ := n.Broker.(broker.Roster)
	return d
}

// nodesApart tests directories that tell their nodes apart. Each node is listed with its counts, and one that falls silent
// differs from one that ends.
func nodesApart(t testing.TB, r Reporter, h Harness) {
	nodes := h.nodes(t, 2)
	first, second := roster(nodes[0]), roster(nodes[1])
	if first == nil {
		return
	}
	report := func(d broker.Roster, node string, lease time.Duration, fresh bool, m map[string]int) error {
		return d.Report(t.Context(), node, lease, fresh, m)
	}
	list := func(names ...string) string {
		all, err := second.Nodes(t.Context(), names...)
		if err != nil {
			r.Errorf("listing the nodes: %v", err)
		}
		var texts []string
		for _, n := range all {
			texts = append(texts, fmt.Sprint(n.Name, n.Silent, n.Counts))
		}
		return fmt.Sprint(slices.Sorted(slices.Values(texts)))
	}
	expect := func(what, want string, names ...string) {
		r.Helper()
		if got := list(names...); got != want {
			r.Errorf("%s: got %s, want %s", what, got, want)
		}
	}
	must := func(err error) {
		r.Helper()
		if err != nil {
			r.Errorf("reporting: %v", err)
		}
	}
	expect("nobody", "[]")
	must(report(first, "n_1 ü", time.Minute, true, map[string]int{"a": 2, "b": 1, broker.Brief + "x": 7}))
	must(report(second, "n2", time.Minute, true, nil))
	// The change is seen at once, although the broker may have answered the same question a moment ago.
	expect("two nodes", "[n2false map[] n_1 üfalse map[a:2 b:1 ~x:7]]")
	expect("some names", "[n2false map[] n_1 üfalse map[a:2]]", "a", "c")
	const most = min(math.MaxInt, 1<<53) // the largest number that an engine which counts in floats keeps
	must(report(second, "n2", time.Minute, false, map[string]int{"a": most}))
	must(report(first, "n_1 ü", time.Minute, false, map[string]int{broker.Brief + "x": 0}))
	expect("changes", fmt.Sprintf("[n2false map[a:%d] n_1 üfalse map[a:2 b:1]]", most))

	must(report(second, "n2", 100*time.Millisecond, false, nil))
	if !Until(func() bool { return list() == "[n2true map[] n_1 üfalse map[a:2 b:1]]" }) {
		r.Errorf("a node that has fallen silent: got %s", list())
	}
	expect("the same, by name", "[n2true map[] n_1 üfalse map[a:2]]", "a")
	if err := report(second, "n2", time.Minute, false, map[string]int{"c": 1}); err == nil {
		r.Errorf("a node that was taken for dead adds to what is gone")
	}
	must(report(second, "n2", time.Minute, true, map[string]int{"c": 1}))
	expect("it is back", "[n2false map[c:1] n_1 üfalse map[a:2 b:1]]")
	must(report(second, "n2", 0, true, nil))
	expect("it has ended", "[n_1 üfalse map[a:2 b:1]]")
}

// reportAtOnce has a node replace its report again and again. No count is ever missing meanwhile.
func reportAtOnce(t testing.TB, r Reporter, h Harness) {
	nodes := h.nodes(t, 2)
	writer, reader := roster(nodes[0]), roster(nodes[1])
	if writer == nil {
		return
	}
	counts := map[string]int{}
	for i := range 5000 {
		counts[fmt.Sprint("user ", i)] = 1 + i%3
	}
	write := func() {
		if err := writer.Report(t.Context(), "n1", time.Minute, true, maps.Clone(counts)); err != nil {
			r.Errorf("reporting: %v", err)
		}
	}
	write()
	stop := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				write()
			}
		}
	})
	for begin := time.Now(); time.Since(begin) < time.Second; {
		all, err := reader.Nodes(t.Context())
		if err != nil || len(all) != 1 || !maps.Equal(all[0].Counts, counts) {
			n := 0
			if len(all) == 1 {
				n = len(all[0].Counts)
			}
			r.Errorf("while a node replaces its report, there are %d nodes with %d of %d counts, %v", len(all), n, len(counts), err)
			break
		}
	}
	close(stop)
	writing.Wait()
}
