package hub_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/filebroker"
	"github.com/sse-push/caddy-sse-push/broker/membroker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

// fleet opens the hub that a client comes to next: another node, or the same one after a restart, or the same.
type fleet func(t *testing.T, s hub.Settings) (next func() *hub.Hub)

var fleets = map[string]fleet{
	"one node": func(t *testing.T, s hub.Settings) func() *hub.Hub {
		h := hub.New("test", membroker.New(), s)
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

// visit connects, takes what comes up to an event for the connection, does something, and leaves. It returns what came, and
// the last id.
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

// Topics that an app has added to a client's connection are those of its next one as well: none of their events is lost.
func TestAdditionsOutliveTheConnection(t *testing.T) {
	for name, open := range fleets {
		for _, to := range []broker.Target{connTarget("the-same-client"), userU} {
			t.Run(fmt.Sprint(name, ", kind ", to.Kind), func(t *testing.T) {
				next := open(t, settings(100, 1<<20))
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
					publish(t, h, topic("room", "2"), topic("hall", "not his"), topic("p/x", "3"), topic("own", "4"))
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
				// A page of the user that came later has none of it, nor has one whose id is random.
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

// What is added to a user while a client of theirs is away is heard from there on, and what was added before the client came
// first is not.
func TestAddedWhileAway(t *testing.T) {
	for name, open := range fleets {
		t.Run(name, func(t *testing.T) {
			next := open(t, settings(100, 1<<20))
			h := next()
			_, err := h.Join(t.Context(), userU, []string{"early"})
			mustSteer(t, true, err)
			sub := hub.Subscription{User: "u", ID: "the-same-client"}
			_, sub.LastEventID = visit(t, h, sub, nil)
			publish(t, h, topic("room", "before"), topic("early", "not his"))
			_, err = h.Join(t.Context(), userU, []string{"room"})
			mustSteer(t, true, err)
			publish(t, h, topic("room", "1"))
			h = next()
			got, last := visit(t, h, sub, nil)
			wantList(t, got, "connected", "1")
			publish(t, h, topic("room", "2"), topic("early", "not his"))
			h = next()
			sub.LastEventID = last
			got, _ = visit(t, h, sub, nil)
			wantList(t, got, "connected", "2")
		})
	}
}

// Whatever takes a topic away, or ends a connection on purpose, undoes what was added, if the client is away as well.
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
		// A node that repeats what was added does so too late.
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
					next := open(t, settings(100, 1<<20))
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

// logged returns the records of a log.
func (e *engine) logged() (list []broker.Record) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, entry := range e.entries {
		list = append(list, entry.Record)
	}
	return list
}

// A living connection has its additions repeated before they age out of the history, by number and by age, and few records
// do it for many.
func TestAdditionsAreRepeated(t *testing.T) {
	e := newEngine()
	h, _ := e.hub(t, settings(400, 1<<20))
	var subs []hub.Subscription
	var readers []*reader
	for i := range 30 {
		subs = append(subs, hub.Subscription{User: "u", ID: fmt.Sprint("client-number-", i)})
		readers = append(readers, subscribe(t, h, subs[i]))
		readers[i].poll()
	}
	_, err := h.Join(t.Context(), userU, []string{"room"})
	mustSteer(t, true, err)
	repeated := func() (n, last int) {
		for i, r := range e.logged() {
			if !r.Since.IsZero() {
				n, last = n+1, i
			}
		}
		return n, last
	}
	for range 40 {
		publish(t, h, slices.Repeat([]broker.Record{user("other", "x")}, 40)...)
		deadline := time.Now().Add(30 * time.Second)
		for _, last := repeated(); len(e.logged())-last > 220; _, last = repeated() {
			if time.Now().After(deadline) {
				t.Fatal("nothing repeats what was added")
			}
			time.Sleep(time.Millisecond)
		}
	}
	n, _ := repeated()
	if n > len(e.logged())/10 {
		t.Errorf("%d of %d records repeat what was added", n, len(e.logged()))
	}
	h2, _ := e.hub(t, settings(400, 1<<20))
	for i, r := range readers {
		publish(t, h, conn(r.conn.ID, "here"))
		m := r.next()
		for m.Data != "here" {
			m = r.next()
		}
		r.conn.Close(nil)
		publish(t, h, topic("room", fmt.Sprint(i)))
		e.hear(t, h2)
		subs[i].LastEventID = m.ID
		got, _ := visit(t, h2, subs[i], nil)
		wantList(t, got, "connected", fmt.Sprint(i))
	}
}

// Where more was added than may be repeated, each client has its topics again, or is told of a gap.
func TestMoreAdditionsThanAreRepeated(t *testing.T) {
	e := newEngine()
	h, _ := e.hub(t, settings(1000, 1<<20))
	var subs []hub.Subscription
	var readers []*reader
	for i := range 150 {
		subs = append(subs, hub.Subscription{User: "u", ID: fmt.Sprint("client-number-", i)})
		readers = append(readers, subscribe(t, h, subs[i]))
		readers[i].poll()
		there, err := h.Join(t.Context(), connTarget(subs[i].ID), []string{fmt.Sprint("room/", i)})
		mustSteer(t, there, err)
	}
	marks := func() int {
		return len(slices.DeleteFunc(e.logged(), func(r broker.Record) bool { return !r.Partial }))
	}
	deadline := time.Now().Add(30 * time.Second)
	for i := 0; i < 100 || marks() < 3; i++ {
		publish(t, h, slices.Repeat([]broker.Record{user("other", "x")}, 20)...)
		time.Sleep(2 * time.Millisecond)
		if time.Now().After(deadline) {
			t.Fatalf("%d records say that there are more", marks())
		}
	}
	h2, _ := e.hub(t, settings(1000, 1<<20))
	for i, r := range readers {
		publish(t, h, conn(r.conn.ID, "here"))
		m := r.next()
		for m.Data != "here" {
			m = r.next()
		}
		r.conn.Close(nil)
		name := fmt.Sprint("room/", i)
		publish(t, h, topic(name, name))
		e.hear(t, h2)
		subs[i].LastEventID = m.ID
		if got, _ := visit(t, h2, subs[i], nil); !slices.Contains(got, name) && !slices.Contains(got, "gap") {
			t.Errorf("client %d lost its topic without a word: %q", i, got)
		}
	}
	n := 0
	for _, r := range e.logged() {
		if !r.Since.IsZero() {
			n++
		}
	}
	if all := len(e.logged()); n > all/4 {
		t.Errorf("%d of %d records repeat what was added", n, all)
	}
}

// A node that began in the middle of the log cannot tell what was added to a client that was away for longer than the
// history, and says so; of others it can.
func TestAdditionsBeforeTheNode(t *testing.T) {
	e := newEngine()
	h, _ := e.hub(t, settings(40, 1<<20))
	sub := hub.Subscription{User: "u", ID: "the-same-client"}
	_, first := visit(t, h, sub, nil)
	for range 40 {
		publish(t, h, user("other", "x"))
	}
	_, second := visit(t, h, sub, nil)
	for range 35 {
		publish(t, h, user("other", "x"))
	}
	for last, want := range map[string][]string{first: {"connected", "gap"}, second: {"connected"}} {
		h2, _ := e.hub(t, settings(40, 1<<20))
		sub.LastEventID = last
		r := subscribe(t, h2, sub)
		wantList(t, slices.DeleteFunc(brief(r.catchUp(h2)), func(s string) bool { return s == "end" }), want...)
		r.conn.Close(nil)
		r = subscribe(t, h2, hub.Subscription{User: "v", LastEventID: last}) // a client without an id of its own has none
		wantList(t, brief(r.catchUp(h2)), "connected")
		r.conn.Close(nil)
	}
}
