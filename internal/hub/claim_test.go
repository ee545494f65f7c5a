package hub_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

func conn(id, data string) broker.Record {
	return broker.Record{Targets: []broker.Target{{Kind: broker.Connection, Name: id}}, Data: []byte(data)}
}

// Of two streams with the same id the newer one stays, and counts once.
func TestNewerStreamSupersedes(t *testing.T) {
	s := settings(100, 1<<20)
	s.Limits.PerUser = 1
	h := newHub(t, s)
	sub := hub.Subscription{User: "u", ID: "the-same"}
	old := subscribe(t, h, sub)
	old.poll()
	newer := subscribe(t, h, sub)
	publish(t, h, conn("the-same", "1"))
	wantList(t, collect(newer, "1"), "connected", "1")
	events := old.poll()
	old.fetch()
	if events = append(events, old.events...); len(events) != 1 || events[0].Type != "sse:superseded" {
		t.Errorf("the older one got %q", events)
	}
	old.wantEnd("superseded")
	publish(t, h, conn("the-same", "2"))
	wantList(t, collect(newer, "2"), "2")
	if n, _ := h.User(t.Context(), "u"); n != 1 {
		t.Errorf("%d are counted", n)
	}
	newer.conn.Close(nil)
	if n, _ := h.User(t.Context(), "u"); n != 0 || h.Left() != 0 {
		t.Errorf("%d are counted, %d entries are left", n, h.Left())
	}
}

// Events to a connection are not lost while its client is away.
func TestConnectionResumes(t *testing.T) {
	e := newEngine()
	a, _ := e.hub(t, settings(100, 1<<20))
	b, _ := e.hub(t, settings(100, 1<<20))
	r := subscribe(t, a, hub.Subscription{User: "u", ID: "the-same"})
	publish(t, a, conn("the-same", "1"))
	collect(r, "1")
	last := r.conn.ID
	id := publish(t, a, conn(last, "2"))
	collect(r, "2")
	r.conn.Close(nil)
	publish(t, a, conn("the-same", "3"), conn("another", "not theirs"), user("u", "4"))
	r = subscribe(t, b, hub.Subscription{User: "u", ID: "the-same", LastEventID: id.String()})
	wantList(t, collect(r, "4"), "connected", "3", "4")
}

// Across nodes, the stream that came last stays, and exactly one stays however many come at once.
func TestSupersedesAcrossNodes(t *testing.T) {
	e := newEngine()
	var hubs []*hub.Hub
	for range 3 {
		h, _ := e.hub(t, settings(10_000, 1<<20))
		hubs = append(hubs, h)
	}
	for round := range 30 {
		id := "round-" + strconv.Itoa(round)
		old := subscribe(t, hubs[0], hub.Subscription{User: "u", ID: id})
		var mu sync.Mutex
		var conns []*hub.Conn
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				c, err := hubs[i%3].Subscribe(t.Context(), hub.Subscription{User: "u", ID: id, Arrived: hubs[i%3].Arrived()})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				conns = append(conns, c)
			})
		}
		wg.Wait()
		open := func() (n int) {
			for _, c := range conns {
				if !c.Ended() {
					n++
				}
			}
			return n
		}
		for deadline := time.Now().Add(10 * time.Second); open() > 1 && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		if open() != 1 || !old.conn.Ended() {
			t.Fatalf("%d of the newer ones are open, the older one: %v", open(), !old.conn.Ended())
		}
		for _, c := range conns {
			c.Close(nil)
		}
		old.conn.Close(nil)
	}
	for _, h := range hubs {
		if h.Left() != 0 {
			t.Error("something is left")
		}
	}
}

// wander has a client connect to the hubs in turn, with the same id. It returns how often the client was told to come less
// often.
func wander(t *testing.T, times int, id string, hubs ...*hub.Hub) (refused int) {
	t.Helper()
	for i := range times {
		h := hubs[i%len(hubs)]
		c, err := h.Subscribe(t.Context(), hub.Subscription{User: "u", ID: id, Arrived: h.Arrived()})
		var refusal *hub.Refusal
		switch {
		case errors.As(err, &refusal) && refusal.Reason == "rate":
			refused++
		case err != nil:
			t.Fatal(err)
		default:
			defer c.Close(nil)
		}
	}
	return refused
}

// length returns how many records a log has.
func (e *engine) length() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.entries)
}

// However often a client comes with the same id, it does not drive the events of others out of the history.
func TestClaimsSpareTheHistory(t *testing.T) {
	e := newEngine()
	a, _ := e.hub(t, settings(400, 1<<20))
	b, _ := e.hub(t, settings(400, 1<<20))
	first := publish(t, a, user("quiet", "first"))
	for range 389 {
		publish(t, a, user("x", "x"))
	}
	if refused := wander(t, 300, "on-one-node", a); refused != 0 || e.length() != 390 {
		t.Errorf("on one node: %d refused, %d records in the log", refused, e.length()-390)
	}
	// Each node counts what it has read, which may lack the other's newest record.
	if refused, n := wander(t, 300, "on-two-nodes", a, b), e.length()-390; refused < 100 || n < 10 || n > 12 {
		t.Errorf("on two nodes: %d refused, %d records in the log", refused, n)
	}
	if err := a.DisconnectUser(t.Context(), "nobody"); err != nil { // a record that an app asks for
		t.Fatal(err)
	}
	e.hear(t, b)
	before := hub.Subscription{User: "x", LastEventID: broker.Position{Epoch: e.epoch, Minor: first.Minor + 1}.String()}
	publish(t, b, user("x", "end"))
	if got := collect(subscribe(t, b, before), "end"); len(got) != 390 || got[0] != "connected" || got[1] != "x" {
		t.Errorf("a client of long ago got %q", got)
	}
	if n, _ := b.User(t.Context(), "u"); n != 0 {
		t.Errorf("%d are counted", n)
	}
}

// A crowd that comes and goes, and uses up its share of the history, keeps no client from taking the place of a stream on
// another node, and no addition from being repeated.
func TestSharesOfTheHistory(t *testing.T) {
	e := newEngine()
	s := attended()
	s.History.Events = 400
	a, _ := e.hub(t, s)
	b, _ := e.hub(t, s)
	for i := range 100 {
		subscribe(t, a, hub.Subscription{User: "crowd" + strconv.Itoa(i)})
	}
	for deadline := time.Now().Add(10 * time.Second); e.length() < 100; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d joins are said", e.length())
		}
	}
	if refused := wander(t, 5, "on-two-nodes", a, b); refused != 0 {
		t.Errorf("%d were refused", refused)
	}
	sub := hub.Subscription{User: "u", ID: "the-same-client"}
	r := subscribe(t, a, sub)
	r.poll()
	_, err := a.Join(t.Context(), userU, []string{"room"})
	mustSteer(t, true, err)
	repeated := func() bool {
		return slices.ContainsFunc(e.logged(), func(r broker.Record) bool { return !r.Since.IsZero() })
	}
	for deadline := time.Now().Add(10 * time.Second); !repeated(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the log does not say what was added to the connection")
		}
	}
	if slices.ContainsFunc(e.logged(), func(r broker.Record) bool { return r.Partial }) {
		t.Error("a record says that not all additions are repeated")
	}
}

// deaf is a node whose reports get no answer from the engine while held.
type deaf struct {
	*node
	held atomic.Bool
}

func (d *deaf) Report(ctx context.Context, name string, lease time.Duration, fresh bool, counts map[string]int) error {
	if d.held.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return d.node.Report(ctx, name, lease, fresh, counts)
}

// A client leaves a node whose engine does not answer, and connects to another node: the new stream stays.
func TestStreamGivenUpSupersedesNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		a, _ := e.hub(t, settings(1000, 1<<20))
		slow := &deaf{node: e.node()}
		b := hub.New("test", slow, settings(1000, 1<<20))
		defer b.Close()
		if _, err := b.Position(t.Context()); err != nil {
			t.Fatal(err)
		}
		slow.held.Store(true)
		time.Sleep(2 * time.Second)
		sub := hub.Subscription{User: "u", ID: "the-same"}
		ctx, cancel := context.WithCancel(t.Context())
		var given error
		go func() { _, given = b.Subscribe(ctx, sub) }()
		synctest.Wait()
		r := subscribe(t, a, sub)
		cancel()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if given == nil || r.conn.Ended() {
			t.Errorf("the stream that was given up: %v; the one after it: %q", given, r.conn.Cause())
		}
		slow.held.Store(false)
	})
}

// The clients of a node that has died come to another node, and leave no record once the first is known to have stalled. A node
// that has only stalled ends the streams whose ids others have taken.
func TestClaimsOfStalledNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		slow := &deaf{node: e.node()}
		a := hub.New("test", slow, settings(400, 1<<20))
		defer a.Close()
		if _, err := a.Position(t.Context()); err != nil {
			t.Fatal(err)
		}
		b, _ := e.hub(t, settings(400, 1<<20))
		sub := func(i int) hub.Subscription { return hub.Subscription{User: "u", ID: "the-client-" + strconv.Itoa(i)} }
		var old []*reader
		for i := range 50 {
			old = append(old, subscribe(t, a, sub(i)))
		}
		slow.held.Store(true)
		time.Sleep(time.Second)
		move := func() (refused int) {
			for i := range old {
				if b.Open(sub(i).ID) != nil {
					continue
				}
				c, err := b.Subscribe(t.Context(), sub(i))
				var refusal *hub.Refusal
				switch {
				case errors.As(err, &refusal) && refusal.Reason == "rate":
					refused++
				case err != nil:
					t.Fatal(err)
				default:
					t.Cleanup(func() { c.Close(nil) })
				}
			}
			return refused
		}
		if refused := move(); refused != 40 {
			t.Errorf("%d were refused at once", refused)
		}
		time.Sleep(6 * time.Second)
		if refused := move(); refused != 0 || e.length() != 10 {
			t.Errorf("later, %d were refused; %d records are in the log", refused, e.length())
		}
		slow.held.Store(false)
		time.Sleep(8 * time.Second)
		synctest.Wait()
		for i, r := range old {
			if r.conn.Cause() != "superseded" || b.Open(sub(i).ID) == nil {
				t.Errorf("client %d: the older stream %q", i, r.conn.Cause())
			}
		}
	})
}

// An engine that has forgotten the claims is told again, and of two streams the newer one stays.
func TestClaimsOutliveTheDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		a, _ := e.hub(t, settings(1000, 1<<20))
		b, _ := e.hub(t, settings(1000, 1<<20))
		sub := hub.Subscription{User: "u", ID: "the-same"}
		older := subscribe(t, a, sub)
		time.Sleep(5 * time.Millisecond)
		e.forget()
		newer := subscribe(t, b, sub) // it does not see the other one
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if older.conn.Cause() != "superseded" || newer.conn.Ended() {
			t.Errorf("the older one: %q, the newer one has ended: %v", older.conn.Cause(), newer.conn.Ended())
		}
		e.forget()
		time.Sleep(2 * time.Second)
		moved := subscribe(t, a, sub)
		synctest.Wait()
		if newer.conn.Cause() != "superseded" || moved.conn.Ended() {
			t.Errorf("after it has moved: %q, %v", newer.conn.Cause(), moved.conn.Ended())
		}
	})
}

// forget empties the directory.
func (e *engine) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	clear(e.counts)
	clear(e.leases)
	clear(e.heard)
}
