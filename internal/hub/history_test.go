package hub_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// Only so many trimmed targets are remembered. Past that, a gap is sent even if nothing may be missing.
func TestTrimmedTargetsAreBounded(t *testing.T) {
	h := newHub(t, settings(1, 1<<20))
	first := publish(t, h, user("u", "x"))
	batch := make([]broker.Record, 1000)
	var early broker.Position
	for i := range 70 {
		for j := range batch {
			batch[j] = user(fmt.Sprintf("%d/%d", i, j), "x")
		}
		p := publish(t, h, batch...)
		if i == 60 {
			early = p
		}
	}
	publish(t, h, user("quiet", "end"))
	r := subscribe(t, h, hub.Subscription{User: "quiet", LastEventID: first.String()})
	wantList(t, collect(r, "end"), "connected", "gap", "end")
	r = subscribe(t, h, hub.Subscription{User: "quiet", LastEventID: early.String()})
	wantList(t, collect(r, "end"), "connected", "end")
}

// Entries older than the history are trimmed even if nothing is published.
func TestHistoryAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := settings(100, 1<<20)
		s.History.Age = time.Minute
		h := newHub(t, s)
		start := publish(t, h, user("other", "x"))
		publish(t, h, user("u", "old"))
		time.Sleep(30 * time.Second)
		publish(t, h, user("u", "new"))
		time.Sleep(31 * time.Second)
		synctest.Wait()
		r := subscribe(t, h, hub.Subscription{User: "u", LastEventID: start.String()})
		wantList(t, brief(r.poll()), "connected", "gap", "new")
	})
}

// The first batch may be larger than the window: the rest of it ages all the same.
func TestAgeOfALargeFirstBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := settings(2, 1<<20)
		s.History.Age = time.Minute
		h := newHub(t, s)
		publish(t, h, user("u", "1"), user("u", "2"), user("u", "3"))
		time.Sleep(2 * time.Minute)
		r := subscribe(t, h, hub.Subscription{User: "u", Replay: 10})
		wantList(t, brief(r.poll()), "connected")
	})
}

// Names count against the history's bytes.
func TestHistoryBytesCountTargets(t *testing.T) {
	s := settings(1000, 1<<20)
	s.History.Bytes = 1 << 20
	h := newHub(t, s)
	for i := range 100 {
		var to []broker.Target
		for j := range 1000 {
			to = append(to, broker.Target{Kind: broker.User, Name: fmt.Sprintf("%d/%d", i, j)})
		}
		publish(t, h, broker.Record{Targets: append(to, broker.Target{Kind: broker.User, Name: "u"}), Data: []byte("x")})
	}
	r := subscribe(t, h, hub.Subscription{User: "u", Replay: 1000})
	if n := len(r.poll()) - 1; n > 16 {
		t.Errorf("%d events to 1,000 users each are kept in 1 MiB", n)
	}
}

func TestHistoryBytes(t *testing.T) {
	s := settings(100, 1<<20)
	s.History.Bytes = 10_500
	h := newHub(t, s)
	for i := range 10 {
		publish(t, h, user("u", fmt.Sprint(i)+strings.Repeat(".", 3000)))
	}
	r := subscribe(t, h, hub.Subscription{User: "u", Replay: 100})
	if got := r.poll(); len(got) != 4 { // connected, and three of 3 kB
		t.Errorf("got %d events: %.40q", len(got), brief(got))
	}
}
