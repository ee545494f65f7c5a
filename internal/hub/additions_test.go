package hub_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/filebroker"
	"github.com/sse-push/caddy-sse-push/broker/membroker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

// fleet opens the hub that a client comes to next: another node, the same node after a restart, or the same hub.
type fleet func(t *testing.T, s hub.Settings) (next func() *hub.Hub)

var fleets = map[string]fleet{
	"one node": func(t *testing.T, s hub.Settings) func() *hub.Hub {
		h := hub.New("test", membroker.Open(), s)
		t.Cleanup(func() { _ = h.Close() })
		return func() *hub.Hub { return h }
	},
	"another node": func(t *testing.T, s hub.Settings) func() *hub.Hub {
		e := newEngine()
		a, _ := e.hub(t, s)
		b, _ := e.hub(t, s)
		return func() *hub.Hub {
			a, b = b, a
			e.hear(t, a)
			return a
		}
	},
	"a new node": func(t *testing.T, s hub.Settings) func() *hub.Hub {
		e := newEngine()
		return func() *hub.Hub { h, _ := e.hub(t, s); return h }
	},
	"restart": func(t *testing.T, s hub.Settings) func() *hub.Hub {
		dir := t.TempDir()
		var h *hub.Hub
		t.Cleanup(func() { _ = h.Close() })
		return func() *hub.Hub {
			if h != nil {
				if err := h.Close(); err != nil {
					t.Fatal(err)
				}
			}
			b, err := filebroker.Open(dir, filebroker.Options{Sync: filebroker.Never})
			if err != nil {
				t.Fatal(err)
			}
			h = hub.New("test", b, s)
			return h
		}
	},
}

func connTarget(id string) broker.Target { return broker.Target{Kind: broker.Connection, Name: id} }

// visit connects, takes what comes up to an event for the connection, calls then, and leaves. It returns what came, and the
// last id.
func visit(t *testing.T, h *hub.Hub, sub hub.Subscription, then func(*reader)) (got []string, last string) {
	t.Helper()
	r := subscribe(t, h, sub)
	publish(t, h, conn(r.conn.ID, "end"))
	for {
		m := r.next()
		if m.ID != "" {
			last = m.ID
		}
		if m.Data == "end" {
			break
		}
		got = append(got, brief([]sse.Message{m})...)
	}
	if then != nil {
		then(r)
		publish(t, h, conn(r.conn.ID, "left"))
		for m := r.next(); ; m = r.next() {
			if m.ID != "" {
				last = m.ID
			}
			if m.Data == "left" {
				break
			}
		}
	}
	r.conn.Close(nil)
	return got, last
}

// Topics that an app has added to a client's connection carry over to its next one, and none of their events is lost.
func TestAdditionsOutliveTheConnection(t *testing.T) {
	t.Parallel()
	for name, open := range fleets {
		for _, to := range []broker.Target{connTarget("the-same-client"), userU} {
			t.Run(fmt.Sprint(name, ", kind ", to.Kind), func(t *testing.T) {
				t.Parallel()
				next := open(t, settings(400, 1<<20)) // room for ten takeovers between nodes
				h := next()
				sub := hub.Subscription{User: "u", ID: "the-same-client", Topics: []string{"own"}}
				ctx := t.Context()
				got, last := visit(t, h, sub, func(r *reader) {
					publish(t, h, topic("room", "before"))
					there, err := h.Join(ctx, to, []string{"room", "p/*", "own"})
					mustSteer(t, there, err)
					publish(t, h, topic("room", "1"))
				})
				wantList(t, got, "connected")
				for i := range 3 {
					publish(t, h, topic("room", "2"), topic("hall", "not theirs"), topic("p/x", "3"), topic("own", "4"))
					h = next()
					sub.LastEventID = last
					r := subscribe(t, h, sub)
					if m := r.next(); m.Data != `{"connection":"the-same-client","user":"u","topics":["own","p/*","room"]}` {
						t.Fatalf("visit %d: got %v", i, m)
					}
					r.conn.Close(nil)
					got, last = visit(t, h, sub, nil)
					wantList(t, got, "connected", "2", "3", "4")
				}
				// A page of the same user that came later has none of it, nor has one without an id of its own.
				for _, other := range []hub.Subscription{
					{User: "u", ID: "another-client", LastEventID: last}, {User: "u", LastEventID: last}, {User: "v", ID: "a-third-client", LastEventID: last},
				} {
					r := subscribe(t, h, other)
					if m := r.next(); !strings.Contains(m.Data, `"topics":[]`) {
						t.Errorf("got %v", m)
					}
					r.conn.Close(nil)
				}
				there, err := h.Leave(ctx, to, []string{"room"})
				mustSteer(t, there, err)
				publish(t, h, topic("room", "secret"), topic("p/x", "5"))
				h = next()
				sub.LastEventID = last
				got, _ = visit(t, h, sub, nil)
				wantList(t, got, "connected", "5")
			})
		}
	}
}

// What is added to a user while a client is away is heard by the client from there on. What was added before the client first
// came is not.
func TestAddedWhileAway(t *testing.T) {
	t.Parallel()
	for name, open := range fleets {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			next := open(t, settings(400, 1<<20)) // room for ten takeovers between nodes
			h := next()
			_, err := h.Join(t.Context(), userU, []string{"early"})
			mustSteer(t, true, err)
			sub := hub.Subscription{User: "u", ID: "the-same-client"}
			_, sub.LastEventID = visit(t, h, sub, nil)
			publish(t, h, topic("room", "before"), topic("early", "not theirs"))
			_, err = h.Join(t.Context(), userU, []string{"room"})
			mustSteer(t, true, err)
			publish(t, h, topic("room", "1"))
			h = next()
			got, last := visit(t, h, sub, nil)
			wantList(t, got, "connected", "1")
			publish(t, h, topic("room", "2"), topic("early", "not theirs"))
			h = next()
			sub.LastEventID = last
			got, _ = visit(t, h, sub, nil)
			wantList(t, got, "connected", "2")
		})
	}
}

// Whatever takes a topic away, or ends a connection on purpose, undoes additions, even if the client is away.
func TestAdditionsAreUndone(t *testing.T) {
	for what, undo := range map[string]func(t *testing.T, h *hub.Hub) error{
		"leave": func(t *testing.T, h *hub.Hub) error {
			_, err := h.Leave(t.Context(), connTarget("the-same-client"), []string{"room"})
			return err
		},
		"leave a pattern": func(t *testing.T, h *hub.Hub) error {
			_, err := h.Leave(t.Context(), connTarget("the-same-client"), []string{"*"})
			return err
		},
		"user's leave": func(t *testing.T, h *hub.Hub) error {
			_, err := h.Leave(t.Context(), userU, []string{"room"})
			return err
		},
		"disconnect": func(t *testing.T, h *hub.Hub) error {
			_, err := h.Disconnect(t.Context(), "the-same-client")
			return err
		},
		"disconnect user":  func(t *testing.T, h *hub.Hub) error { return h.DisconnectUser(t.Context(), "u") },
		"disconnect topic": func(t *testing.T, h *hub.Hub) error { return h.DisconnectTopic(t.Context(), "room") },
		"deny":             func(t *testing.T, h *hub.Hub) error { return h.Deny(t.Context(), "u", time.Nanosecond) },
		// A node may repeat what was added, but too late.
		"leave, then repeated": func(t *testing.T, h *hub.Hub) error {
			_, err := h.Leave(t.Context(), userU, []string{"room"})
			p, _ := broker.ParsePosition(joinedAt)
			publish(t, h, broker.Record{Kind: broker.Join, Targets: []broker.Target{connTarget("the-same-client")}, Topics: []string{"room"}, Since: p})
			return err
		},
	} {
		for name, open := range fleets {
			for _, away := range []bool{false, true} {
				t.Run(fmt.Sprint(what, ", ", name, ", away ", away), func(t *testing.T) {
					next := open(t, settings(400, 1<<20)) // room for ten takeovers between nodes
					h := next()
					sub := hub.Subscription{User: "u", ID: "the-same-client"}
					r := subscribe(t, h, sub)
					r.poll()
					publish(t, h, user("u", "here"))
					last := r.next().ID
					joinedAt = last
					for _, to := range []broker.Target{userU, connTarget("the-same-client")} {
						there, err := h.Join(t.Context(), to, []string{"room"})
						mustSteer(t, there, err)
					}
					if away {
						r.conn.Close(nil)
						h = next()
					}
					if err := undo(t, h); err != nil {
						t.Fatal(err)
					}
					publish(t, h, topic("room", "secret"))
					if !away {
						for _, m := range r.poll() {
							if m.Data == "secret" {
								t.Error("heard by the living connection")
							}
						}
						r.conn.Close(nil)
					}
					time.Sleep(time.Microsecond) // the denial is over
					sub.LastEventID = last
					got, _ := visit(t, next(), sub, nil)
					wantList(t, got, "connected")
				})
			}
		}
	}
}

var joinedAt string

// A node that begins in the middle of the log reads that a topic was taken away, and after it a Join that another node was
// repeating at that moment: the topic stays taken away.
func TestRepeatedAfterItWasTakenAway(t *testing.T) {
	e := newEngine()
	h, _ := e.hub(t, settings(40, 1<<20))
	joined := publish(t, h, user("other", "x"))
	for range 100 {
		publish(t, h, user("other", "x"))
	}
	to := []broker.Target{connTarget("the-same-client")}
	last := publish(t, h, broker.Record{Kind: broker.Leave, Targets: to, Topics: []string{"room"}},
		broker.Record{Kind: broker.Join, Targets: to, Topics: []string{"room"}, Since: joined})
	h, _ = e.hub(t, settings(40, 1<<20))
	r := subscribe(t, h, hub.Subscription{User: "u", ID: "the-same-client", LastEventID: last.String()})
	if m := r.next(); !strings.Contains(m.Data, `"topics":[]`) {
		t.Errorf("got %v", m)
	}
}

// A node that lags repeats that a topic was added, as it has not yet read that it was taken away. Another node, which begins in
// the log between the two records, does not believe it.
func TestRepeatedBeforeTheRemovalWasRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		s := settings(40, 1<<20)
		s.History.Age = 8 * time.Second // what has to be repeated is looked for every second
		h, _ := e.hub(t, s)
		sub := hub.Subscription{User: "u", ID: "the-same-client"}
		subscribe(t, h, sub).poll()
		there, err := h.Join(t.Context(), connTarget(sub.ID), []string{"room"})
		mustSteer(t, there, err)
		free := make(chan struct{})
		defer close(free)
		h.OnRevoke(func(string) { <-free })
		many := func(n int) []broker.Record { return slices.Repeat([]broker.Record{user("other", "x")}, n) }
		removal := broker.Record{Kind: broker.Leave, Targets: []broker.Target{connTarget(sub.ID)}, Topics: []string{"room"}}
		h.Publish(t.Context(), append([]broker.Record{removal}, many(30)...))
		time.Sleep(3 * time.Second)
		log := e.logged()
		if !slices.ContainsFunc(log[3:], func(r broker.Record) bool { return !r.Since.IsZero() }) {
			t.Fatal("nothing was repeated")
		}
		h.Publish(t.Context(), many(72-len(log)))
		sub.LastEventID = h.Publish(t.Context(), many(1))[0].Position.String()
		h, _ = e.hub(t, s)
		if m := subscribe(t, h, sub).next(); !strings.Contains(m.Data, `"topics":[]`) {
			t.Errorf("got %v", m)
		}
	})
}

// A client that comes while this node reads that a topic was taken away does not get it again.
func TestTakenAwayWhileArriving(t *testing.T) {
	h := newHub(t, settings(100, 1<<20))
	sub := hub.Subscription{User: "u", ID: "the-same-client"}
	subscribe(t, h, sub)
	there, err := h.Join(t.Context(), connTarget(sub.ID), []string{"room"})
	mustSteer(t, there, err)
	var r *reader
	h.OnRevoke(func(string) { // it is in the window by now
		sub.Arrived = h.Arrived()
		r = subscribe(t, h, sub)
	})
	there, err = h.Leave(t.Context(), connTarget(sub.ID), []string{"room"})
	mustSteer(t, there, err)
	publish(t, h, topic("room", "secret"), user("u", "1"))
	if got := collect(r, "1"); slices.Contains(got, "secret") {
		t.Errorf("got %q", got)
	}
}
