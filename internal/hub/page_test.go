package hub_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/rules"
)

// Whether a subscription covers few topics or thousands, and few events or most: a client gets all that match, once and in
// order, and with replay the last of them.
func TestManyTopics(t *testing.T) {
	const events, topics = 6000, 3000
	h := newHub(t, settings(events+1, 1<<20))
	rng := rand.New(rand.NewPCG(3, 9))
	var ids []broker.Position
	var sent [][]string
	for i := range events {
		var targets []broker.Target
		var names []string
		for range 1 + rng.IntN(2) {
			name := fmt.Sprintf("%c/%d", 'a'+rune(rng.IntN(3)), rng.IntN(topics))
			if i%500 == 0 {
				name = "rare/" + name
			}
			if !slices.Contains(names, name) {
				names = append(names, name)
				targets = append(targets, broker.Target{Kind: broker.Topic, Name: name})
			}
		}
		ids = append(ids, publish(t, h, broker.Record{Targets: targets, Data: fmt.Append(nil, i)}))
		sent = append(sent, names)
	}
	publish(t, h, broker.Record{Targets: []broker.Target{{Kind: broker.User, Name: "u"}}, Data: []byte("end")})
	var exact []string
	for i := range 200 {
		exact = append(exact, fmt.Sprint("b/", i))
	}
	for _, patterns := range [][]string{{"a/*"}, {"**"}, {"*/7"}, {"rare/**"}, {"rare/a/*", "b/5"}, {"none/*"}, exact, {"b/1"}, append([]string{"*/9"}, exact...)} {
		name := strings.Join(patterns[:min(2, len(patterns))], " ")
		var want []string
		var heard []int // events heard before each event
		for i, names := range sent {
			if slices.ContainsFunc(names, func(name string) bool {
				return slices.ContainsFunc(patterns, func(p string) bool { return rules.Match(p, name) })
			}) {
				want = append(want, fmt.Sprint(i))
			}
			heard = append(heard, len(want))
		}
		want = append(want, "end")
		for _, from := range []int{0, 1, 100, events / 2, events - 70, events - 1} {
			r := subscribe(t, h, hub.Subscription{User: "u", Topics: slices.Clone(patterns), LastEventID: ids[from].String()})
			if got := collect(r, "end")[1:]; !slices.Equal(got, want[heard[from]:]) {
				t.Errorf("%s, after event %d: got %d events, want %d", name, from, len(got), len(want)-heard[from])
			}
			r.conn.Close(nil)
		}
		for _, n := range []int{1, 2, 50, 1000, 2 * events} {
			r := subscribe(t, h, hub.Subscription{User: "u", Topics: slices.Clone(patterns), Replay: n})
			if got := collect(r, "end")[1:]; !slices.Equal(got, want[max(0, len(want)-n):]) {
				t.Errorf("%s: got %d events by replay=%d, want %d", name, len(got), n, min(n, len(want)))
			}
			r.conn.Close(nil)
		}
	}
}

// Catching up over thousands of topics costs about as much as over one.
func TestCatchUpCostsWhatItReplays(t *testing.T) {
	const events = 5000
	cost := func(topics int) uint64 {
		h := newHub(t, settings(events, 1<<20))
		for i := range events {
			publish(t, h, topic(fmt.Sprint("public/", i%topics), "x"))
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r := subscribe(t, h, hub.Subscription{Topics: []string{"public/*"}, Replay: events})
		for got := -1; got < events; { // -1: connected does not count
			frames, err := r.conn.Next(nil, 2048)
			if err != nil || len(frames) == 0 {
				t.Fatalf("got %d events and %v", got, err)
			}
			got += len(frames)
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	one, many := cost(1), cost(events)
	if many > 3*one {
		t.Errorf("over %d topics it takes %d bytes, over one %d", events, many, one)
	}
}
