package brokertest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// sharedHubs opens hubs on the harness's log, as processes do: with the log's directory.
func sharedHubs(t testing.TB, h Harness, n, events int) (hubs []*hub.Hub) {
	t.Helper()
	for i := range n {
		one := hub.New(fmt.Sprint("node ", i), h.Open(t, nil), hub.Settings{
			History: hub.History{Events: events, Age: time.Hour, Bytes: 256 << 20},
			Limits:  hub.Limits{Pending: 64 << 10},
		})
		t.Cleanup(func() { _ = one.Close() })
		await(t, "the hub is ready", func() bool { return well(one) })
		hubs = append(hubs, one)
	}
	return hubs
}

// open reports whether a stream with an id is open on a node.
func open(h *hub.Hub, id string) bool { return h.Open(id) != nil }

// come has a client that calls itself something connect.
func come(t testing.TB, h *hub.Hub, id string) (*hub.Conn, error) {
	return h.Subscribe(t.Context(), hub.Subscription{User: "u", ID: id, Arrived: h.Arrived()})
}

// claims has clients come again and again under names of their own. On one node that leaves nothing in the log; between two
// it takes a fortieth of it at most, and the newest stream is the one.
func claims(t testing.TB, r Reporter, h Harness) {
	hubs := sharedHubs(t, h, 2, 400)
	if _, ok := h.open(t, nil).Broker.(broker.Roster); !ok {
		return
	}
	store := func(hub *hub.Hub) {
		t.Helper()
		if res := hub.Publish(t.Context(), []broker.Record{event("x")}); res[0].Err != nil {
			t.Fatal(res[0].Err)
		}
		if _, err := hub.Position(t.Context()); err != nil { // it is in the window from here on
			t.Fatal(err)
		}
	}
	store(hubs[0])
	for i := range 100 {
		c, err := come(t, hubs[0], fmt.Sprint("client-", i%3))
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			defer c.Close(nil)
		} else {
			c.Close(nil)
		}
	}
	store(hubs[0])
	if n := hubs[0].Stats().HistoryEvents; n != 2 {
		r.Errorf("on one node, 100 connections have left %d records in the log", n-2)
	}

	refused := 0
	for i := range 100 {
		c, err := come(t, hubs[i%2], "wanders")
		var refusal *hub.Refusal
		switch {
		case errors.As(err, &refusal) && refusal.Reason == "rate":
			refused++
			continue
		case err != nil:
			t.Fatal(err)
		}
		defer c.Close(nil)
		if !until(func() bool { return !open(hubs[(i+1)%2], "wanders") }) {
			r.Errorf("the older stream is open on the other node")
			return
		}
	}
	store(hubs[0])
	if n := hubs[0].Stats().HistoryEvents - 3; n > 12 || n < 8 || refused == 0 {
		r.Errorf("between two nodes, 100 connections have left %d records in a log of 400; %d were refused", n, refused)
	}
}

// claimsBesideOlder has a node of a version beside it that makes no claims: it is told by records, as ever.
func claimsBesideOlder(t testing.TB, r Reporter, h Harness) {
	older := h.open(t, nil)
	directory, ok := older.Broker.(broker.Roster)
	if !ok {
		return
	}
	tail := started(t, r, older, 0)
	if err := directory.Report(t.Context(), "older", time.Minute, true, map[string]int{"u:v": 1}); err != nil {
		t.Fatal(err)
	}
	one := sharedHubs(t, h, 1, 200)[0]
	c, err := come(t, one, "client")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(nil)
	if !until(func() bool {
		all := tail.all()
		return len(all) == 1 && all[0].Record.Kind == broker.Supersede && len(all[0].Record.Ends) == 0
	}) {
		r.Errorf("the older node hears nothing of a stream that may take the place of its own: %v", tail.all())
	}
	supersede := broker.Record{Kind: broker.Supersede, Targets: []broker.Target{{Kind: broker.Connection, Name: "client"}}}
	if res := try(older, patience, supersede); res[0].Err != nil {
		t.Fatal(res[0].Err)
	}
	if !until(func() bool { return c.Cause() == "superseded" }) {
		r.Errorf("a stream of the older node does not take the place of this one's")
	}
	if err := directory.Report(t.Context(), "older", 0, true, nil); err != nil {
		t.Fatal(err)
	}
	d, err := come(t, one, "alone")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close(nil)
	store(t, older, event("end"))
	if !until(func() bool { return delivered(tail)["end"] == 1 }) || len(tail.all()) != 3 {
		r.Errorf("without the older node, there are %d records in the log", len(tail.all()))
	}
}
