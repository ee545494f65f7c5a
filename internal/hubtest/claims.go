package hubtest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// isOpen reports whether a stream with an id is open on a node.
func isOpen(h *hub.Hub, id string) bool { return h.Open(id) != nil }

// come connects a client with an id of its own.
func come(t testing.TB, h *hub.Hub, id string) (*hub.Conn, error) {
	return h.Subscribe(t.Context(), hub.Subscription{User: "u", ID: id, Arrived: h.Arrived()})
}

// sentAway reports whether a client is to come again because claims have their share of the log.
func sentAway(err error) bool {
	refusal, ok := errors.AsType[*hub.Refusal](err)
	return ok && refusal.Reason == "rate"
}

// claims has clients with ids of their own reconnect again and again. On one node that puts nothing into the log. Between two
// nodes, it puts records into a fortieth of the log at most, and the newest stream stays open.
func claims(t testing.TB, r brokertest.Reporter, h brokertest.Harness) {
	const length, share = 400, 10
	hubs := openHubs(t, h, 2, length)
	if !hasRoster(t, h) {
		return
	}
	store := func() {
		t.Helper()
		tell(t, hubs[0], about("t", "x"))
		if _, err := hubs[0].Position(t.Context()); err != nil { // it is in the window from here on
			t.Fatal(err)
		}
	}
	store()
	// Claims that the engine may not have had in time, as on a busy machine, are records instead, until these have their share.
	late, refused := 0, 0
	for i := range 100 {
		begun := time.Now()
		c, err := come(t, hubs[0], fmt.Sprint("client-", i%3))
		if time.Since(begun) >= hub.RegisterTime {
			late++
		}
		if sentAway(err) {
			refused++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			defer c.Close(nil)
		} else {
			c.Close(nil)
		}
	}
	store()
	if n := hubs[0].Stats().HistoryEvents - 2; n > late || refused > 0 && n < share {
		r.Errorf("on one node, 100 connections have left %d records in the log; %d of them were late, and %d were refused", n, late, refused)
	}

	refused = 0
	for i := range 100 {
		c, err := come(t, hubs[i%2], "wanders")
		if sentAway(err) {
			refused++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close(nil)
		if !brokertest.Until(func() bool { return !isOpen(hubs[(i+1)%2], "wanders") }) {
			r.Errorf("the older stream is open on the other node")
			return
		}
	}
	store()
	if n := hubs[0].Stats().HistoryEvents - 3; n > share+2 || n < share-2 || refused == 0 { // those of late claims count against the same share
		r.Errorf("between two nodes, 100 connections have left %d records in a log of %d; %d were refused", n, length, refused)
	}
}

// claimsBesideOlder runs beside a node of an older version, which knows no claims. That node still gets records instead.
func claimsBesideOlder(t testing.TB, r brokertest.Reporter, h brokertest.Harness) {
	older := openLog(t, h)
	directory, ok := older.(broker.Roster)
	if !ok {
		return
	}
	tail := record(t, older)
	if err := directory.Report(t.Context(), "older", time.Minute, true, map[string]int{"u:v": 1}); err != nil {
		t.Fatal(err)
	}
	one := openHubs(t, h, 1, 200)[0]
	c, err := come(t, one, "client")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(nil)
	if !brokertest.Until(func() bool {
		all := tail.entries()
		return len(all) == 1 && all[0].Record.Kind == broker.Supersede && len(all[0].Record.Ends) == 0
	}) {
		r.Errorf("the older node hears nothing of a stream that may take the place of its own: %v", tail.entries())
	}
	supersede := broker.Record{Kind: broker.Supersede, Targets: []broker.Target{{Kind: broker.Connection, Name: "client"}}}
	if res := older.Append(t.Context(), []broker.Record{supersede}); res[0].Err != nil {
		t.Fatal(res[0].Err)
	}
	if !brokertest.Until(func() bool { return c.Cause() == "superseded" }) {
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
	if res := older.Append(t.Context(), []broker.Record{about("t", "end")}); res[0].Err != nil {
		t.Fatal(res[0].Err)
	}
	if !brokertest.Until(func() bool {
		all := tail.entries()
		return len(all) > 0 && string(all[len(all)-1].Record.Data) == "end"
	}) || len(tail.entries()) != 3 {
		r.Errorf("without the older node, there are %d records in the log", len(tail.entries()))
	}
}
