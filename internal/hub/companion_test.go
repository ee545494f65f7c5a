package hub_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/membroker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

func companion(h *hub.Hub, name string) *hub.Hub {
	return h.Companion(name, membroker.Open(), hub.History{Events: 1000, Age: 5 * time.Minute, Bytes: 1 << 20})
}

// The limits of a hub hold for its connections and those of its companions together.
func TestCompanionSharesLimits(t *testing.T) {
	for reason, limits := range map[string]hub.Limits{
		"per_user":    {PerUser: 3},
		"per_ip":      {PerIP: 3},
		"connections": {Connections: 3},
	} {
		s := settings(10, 1<<20)
		s.Limits = limits
		h := newHub(t, s)
		one, two := companion(h, "one"), companion(h, "two")
		sub := hub.Subscription{User: "u", Address: "192.0.2.1"}
		first := subscribe(t, h, sub)
		subscribe(t, one, sub)
		subscribe(t, two, sub)
		for _, to := range []*hub.Hub{h, one, two} {
			_, err := to.Subscribe(t.Context(), sub)
			if r := new(hub.Refusal); !errors.As(err, &r) || r.Reason != reason {
				t.Errorf("with %s reached, got %v", reason, err)
			}
		}
		first.conn.Close(nil)
		subscribe(t, two, sub)
	}
}

// What ends a user's or a connection's streams ends them in companions as well. What steers topics does not concern them.
func TestCompanionIsSteered(t *testing.T) {
	h := newHub(t, settings(100, 1<<20))
	beside := companion(h, "beside")
	var ended []string
	var u *reader
	beside.OnRevoke(func(user string) {
		if ended = append(ended, user); !u.conn.Ended() {
			t.Error("told before the streams have ended: another reason would take the place of theirs")
		}
	})
	ctx := t.Context()
	open := func(user string) *reader {
		r := subscribe(t, beside, hub.Subscription{User: user, Topics: []string{"x"}, Arrived: h.Arrived()})
		r.poll()
		return r
	}

	v, named := open("v"), open("")
	u = open("u")
	if err := h.DisconnectTopic(ctx, "x"); err != nil {
		t.Fatal(err)
	}
	if there, err := h.Join(ctx, broker.Target{Kind: broker.Connection, Name: u.conn.ID}, []string{"y"}); there || err != nil {
		t.Errorf("a topic was added to a connection that hears another log: %v, %v", there, err)
	}
	if u.conn.Ended() {
		t.Fatal("a topic of the hub ended a stream of its companion")
	}
	there, err := h.Disconnect(ctx, named.conn.ID)
	mustSteer(t, there, err)
	named.wantEnd("disconnected")
	if err := h.DisconnectUser(ctx, "u"); err != nil {
		t.Fatal(err)
	}
	u.wantEnd("disconnected")
	u = open("u")
	if err := h.Deny(ctx, "u", time.Hour); err != nil {
		t.Fatal(err)
	}
	u.wantEnd("denied")
	if _, err := beside.Subscribe(ctx, hub.Subscription{User: "u"}); !errors.Is(err, hub.ErrDenied) {
		t.Errorf("got %v for a user who is denied", err)
	}
	if v.conn.Ended() {
		t.Error("the stream of another user has ended")
	}
	if !slices.Equal(ended, []string{"u", "u"}) {
		t.Errorf("told of %q", ended)
	}
	if err := beside.DisconnectTopic(ctx, "x"); err != nil {
		t.Fatal(err)
	}
	v.wantEnd("disconnected")
	if !slices.Equal(ended, []string{"u", "u"}) {
		t.Errorf("what ends streams of one topic counts as taken from users: %q", ended)
	}
	if n := beside.Left() + h.Left(); n != 0 {
		t.Errorf("%d entries are left in the indexes", n)
	}
}

// A client that was looked up before its user's streams were ended is not let in afterwards.
func TestCompanionHeedsWhatCameMeanwhile(t *testing.T) {
	h := newHub(t, settings(100, 1<<20))
	arrived := h.Arrived()
	if err := h.DisconnectUser(t.Context(), "u"); err != nil {
		t.Fatal(err)
	}
	before := companion(h, "later") // which cannot know of whom
	subscribe(t, before, hub.Subscription{User: "v", Arrived: arrived}).wantEnd("disconnected")
	r := subscribe(t, before, hub.Subscription{User: "u", Arrived: h.Arrived()})

	arrived = h.Arrived()
	publish(t, h, user("u", "no control"))
	if err := h.DisconnectUser(t.Context(), "u"); err != nil {
		t.Fatal(err)
	}
	r.wantEnd("disconnected")
	subscribe(t, before, hub.Subscription{User: "u", Arrived: arrived}).wantEnd("disconnected")
	other := subscribe(t, before, hub.Subscription{User: "v", Arrived: arrived})
	publish(t, h, user("u", "again"))
	late := subscribe(t, before, hub.Subscription{User: "u", Arrived: h.Arrived()})
	if other.conn.Ended() || late.conn.Ended() {
		t.Error("a stream has ended that nothing concerns")
	}
}

// The hub's lists and counts have the connections of its companions, and a companion has its own alone.
func TestCompanionInLists(t *testing.T) {
	h := newHub(t, settings(100, 1<<20))
	beside := companion(h, "test.beside")
	r := subscribe(t, h, hub.Subscription{User: "u", Topics: []string{"room"}, Protocol: 1})
	l := subscribe(t, beside, hub.Subscription{User: "u", Topics: []string{"x"}, Protocol: 2})
	only := subscribe(t, beside, hub.Subscription{User: "v", Topics: []string{"x"}, Protocol: 2})
	publish(t, h, topic("x", "of the hub"), topic("room", "1"))
	publish(t, beside, topic("x", "1"), topic("room", "of the companion"))
	wantList(t, collect(r, "1"), "connected", "1")
	wantList(t, collect(l, "1"), "connected", "1")

	list, total, _, err := h.Connections(hub.Filter{}, 10)
	if err != nil || total != 3 || len(list) != 3 {
		t.Errorf("got %v, %d, %v", list, total, err)
	}
	if _, total, _, _ := h.Connections(hub.Filter{User: "u"}, 10); total != 2 {
		t.Errorf("the user has %d connections", total)
	}
	if _, total, _, _ := beside.Connections(hub.Filter{Topic: "x"}, 10); total != 2 {
		t.Errorf("%d listen", total)
	}
	if info, ok := h.Connection(l.conn.ID); !ok || info.ID != l.conn.ID || info.Log != "test.beside" || h.Open(l.conn.ID) != l.conn {
		t.Errorf("got %v, %v", info, ok)
	}
	users, _, _, err := h.Users(t.Context(), "", 10)
	if err != nil || !slices.Equal(users, []hub.Count{{Name: "u", Connections: 2}, {Name: "v", Connections: 1}}) {
		t.Errorf("got %v, %v", users, err)
	}
	topics, _, _, err := h.Topics(t.Context(), "", 10)
	if err != nil || !slices.Equal(topics, []hub.Count{{Name: "room", Connections: 1}}) {
		t.Errorf("got %v, %v", topics, err)
	}
	s, own := h.Stats(), beside.Stats()
	if s.Open[1].Goroutine != 1 || s.Open[2].Goroutine != 2 || s.Delivered != 2 || s.Published != 2 || s.Users != 2 {
		t.Errorf("got %+v", s)
	}
	if own.Open[1].Goroutine != 0 || own.Open[2].Goroutine != 2 || own.Delivered != 1 || own.Published != 2 || own.HistoryEvents != 2 {
		t.Errorf("of its own: %+v", own)
	}
	if behind := h.Slowest(10); len(behind) != 1 || behind[0].Connection.ID != only.conn.ID {
		t.Errorf("got %v", behind)
	}
	seen := 0
	h.Each(func(*hub.Conn) { seen++ })
	if seen != 3 {
		t.Errorf("visited %d", seen)
	}
}

// A user who hears nothing but a companion is offline for an event of the hub, though connected.
func TestCompanionDoesNotCountForReceipts(t *testing.T) {
	h := newHub(t, settings(100, 1<<20))
	beside := companion(h, "beside")
	subscribe(t, beside, hub.Subscription{User: "u"})
	subscribe(t, h, hub.Subscription{User: "v"})
	record := broker.Record{Targets: []broker.Target{{Kind: broker.User, Name: "u"}, {Kind: broker.User, Name: "v"}}, Data: []byte("1")}
	receipt := h.Receipt(&record)
	publish(t, h, record)
	d := h.Await(t.Context(), []hub.Awaited{{Receipt: receipt, Until: time.Now().Add(time.Minute)}})[0]
	if !d.Users["u"].Offline || d.Users["v"].Offline || d.Matched != 1 {
		t.Errorf("got %+v", d)
	}
}

// An account names the log that a connection hears, and an event is looked for in each.
func TestCompanionIsExplained(t *testing.T) {
	h := newHub(t, settings(100, 1<<20))
	beside := companion(h, "test.beside")
	r := subscribe(t, h, hub.Subscription{User: "u", Topics: []string{"room"}})
	l := subscribe(t, beside, hub.Subscription{User: "u", Topics: []string{"x"}})
	p, q := publish(t, h, topic("room", "1")), publish(t, beside, topic("x", "1"))
	collect(r, "1")
	collect(l, "1")
	verdicts := func(question hub.Question) map[string]hub.Verdict {
		x, err := h.Explain(question)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]hub.Verdict{}
		for _, a := range x.Connections {
			got[a.Connection] = a.Verdict
			if a.Connection == l.conn.ID && question.Event == "" && !strings.Contains(a.Detail, "test.beside") {
				t.Errorf("the detail does not name the log: %q", a.Detail)
			}
		}
		return got
	}
	for _, c := range []struct {
		question  hub.Question
		own, that hub.Verdict
	}{
		{hub.Question{Who: "u"}, hub.Connected, hub.Connected},
		{hub.Question{Who: "u", Event: p.String()}, hub.Sent, hub.NotAddressed},
		{hub.Question{Who: "u", Event: q.String() + "~7"}, hub.NotAddressed, hub.Sent},
		{hub.Question{Event: q.String()}, "", hub.Sent},
	} {
		if got := verdicts(c.question); got[r.conn.ID] != c.own || got[l.conn.ID] != c.that {
			t.Errorf("%+v: got %v", c.question, got)
		}
	}
}

// A hub that drains or closes ends the streams of its companions.
func TestCompanionEndsWithItsHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hub.New("test", membroker.Open(), settings(10, 1<<20))
		beside := companion(h, "beside")
		r := subscribe(t, beside, hub.Subscription{User: "u"})
		go func() {
			for !r.conn.Ended() {
				<-r.wake
			}
			r.conn.Close(nil)
		}()
		h.Drain(time.Second)
		if _, err := beside.Subscribe(t.Context(), hub.Subscription{}); err == nil {
			t.Error("a hub that drains lets a client into its companion")
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		for _, one := range []*hub.Hub{beside, companion(h, "after the end")} {
			if r := one.Publish(context.Background(), []broker.Record{topic("x", "1")}); !errors.Is(r[0].Err, broker.ErrClosed) {
				t.Errorf("published with %v to a hub that is closed", r[0].Err)
			}
		}
	})
}

// Other nodes know of the users of a companion, and end their streams there. Its topics and its log are its own.
func TestCompanionOnOtherNodes(t *testing.T) {
	e, logs := newEngine(), newEngine()
	a, _ := e.hub(t, settings(100, 1<<20))
	b, _ := e.hub(t, settings(100, 1<<20))
	beside := b.Companion("test.beside", logs.node(), hub.History{Events: 100, Age: time.Hour, Bytes: 1 << 20})
	ctx := t.Context()
	r := subscribe(t, beside, hub.Subscription{User: "u", Topics: []string{"x"}, Arrived: b.Arrived()})
	if n, err := a.User(ctx, "u"); n != 1 || err != nil {
		t.Errorf("the user has %d connections, %v", n, err)
	}
	if topics, _, _, err := a.Topics(ctx, "", 10); len(topics) != 0 || err != nil {
		t.Errorf("got the topics %v, %v", topics, err)
	}
	if len(logs.leases) != 0 {
		t.Error("the companion reports to other nodes itself")
	}
	there, err := a.Disconnect(ctx, r.conn.ID)
	mustSteer(t, there, err)
	r.wantEnd("disconnected")
	again := subscribe(t, beside, hub.Subscription{User: "u", Topics: []string{"x"}, Arrived: b.Arrived()})
	if err := a.Deny(ctx, "u", time.Hour); err != nil {
		t.Fatal(err)
	}
	again.wantEnd("denied")
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		n, err := a.User(ctx, "u")
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("the user has %d connections, %v", n, err)
		}
		if n == 0 {
			break
		}
	}
}

// What waits for connections of a hub and of its companions is bounded together: those for which most waits fall back first.
func TestCompanionSharesMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := settings(1000, 1<<30)
		s.Limits.Memory = 800 << 10
		h := newHub(t, s)
		beside := companion(h, "beside")
		big := strings.Repeat("x", 100_000)
		most, little := subscribe(t, beside, hub.Subscription{Topics: []string{"x"}}), subscribe(t, h, hub.Subscription{User: "u"})
		most.poll()
		little.poll()
		for range 6 {
			publish(t, beside, topic("x", big))
		}
		for range 3 {
			publish(t, h, user("u", big))
		}
		synctest.Wait()
		if held := h.Held() + beside.Held(); held > 800<<10 {
			t.Errorf("%d bytes wait", held)
		}
		if most.conn.Waiting() != 0 || little.conn.Waiting() != 3 {
			t.Errorf("%d events wait in the companion, and %d in the hub", most.conn.Waiting(), little.conn.Waiting())
		}
		if got := most.poll(); len(got) != 6 || got[5].Data != big {
			t.Errorf("got %d events", len(got))
		}
		if n := h.Stats().Pending; n == 0 || beside.Stats().Pending != 0 {
			t.Errorf("%d bytes wait", n)
		}
	})
}

// Whatever else happens at the same moment, no stream of a user is left that was looked up before the user's streams were ended.
func TestCompanionMissesNoDisconnect(t *testing.T) {
	h := newHub(t, settings(1000, 1<<20))
	type one struct {
		conn    *hub.Conn
		arrived uint64
	}
	const clients, rounds = 4, 200
	all := make(chan one, clients*rounds)
	var work sync.WaitGroup
	beside := sync.OnceValue(func() *hub.Hub { return companion(h, "beside") })
	for range clients {
		work.Go(func() {
			for range rounds {
				arrived := h.Arrived()
				runtime.Gosched() // it is looked up
				c, err := beside().Subscribe(context.Background(), hub.Subscription{User: "u", Arrived: arrived})
				if err != nil {
					t.Error(err)
					return
				}
				all <- one{c, arrived}
			}
		})
	}
	for range rounds {
		if err := h.DisconnectUser(t.Context(), "u"); err != nil {
			t.Fatal(err)
		}
	}
	last := h.Arrived() - 1 // each of the log's entries is a disconnect
	work.Wait()
	close(all)
	for o := range all {
		if o.arrived <= last && !o.conn.Ended() {
			t.Errorf("a stream of a client that came at %d of %d is open", o.arrived, last)
		}
		o.conn.Close(nil)
	}
	if n := beside().Left(); n != 0 {
		t.Errorf("%d entries are left in the indexes", n)
	}
}
