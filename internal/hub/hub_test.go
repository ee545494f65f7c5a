package hub_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/membroker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

func newHub(t *testing.T, s hub.Settings) *hub.Hub {
	h := hub.New("test", membroker.Open(), s)
	t.Cleanup(func() { _ = h.Close() })
	return h
}

func publish(t *testing.T, h *hub.Hub, records ...broker.Record) (last broker.Position) {
	t.Helper()
	for _, r := range h.Publish(context.Background(), records) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		last = r.Position
	}
	if _, err := h.Position(t.Context()); err != nil { // the window holds it from here on
		t.Fatal(err)
	}
	return last
}

func user(name, data string) broker.Record {
	return broker.Record{Targets: []broker.Target{{Kind: broker.User, Name: name}}, Data: []byte(data)}
}

func topic(name, data string) broker.Record {
	return broker.Record{Targets: []broker.Target{{Kind: broker.Topic, Name: name}}, Data: []byte(data)}
}

// brief is what a client got: types of our own events, data of the app's.
func brief(events []sse.Message) (list []string) {
	for _, m := range events {
		if name, ok := strings.CutPrefix(m.Type, "sse:"); ok {
			list = append(list, name)
		} else {
			list = append(list, m.Data)
		}
	}
	return list
}

// collect reads what comes up to an event whose data is last.
func collect(r *reader, last string) []string {
	r.t.Helper()
	var events []sse.Message
	for {
		m := r.next()
		events = append(events, m)
		if m.Data == last {
			return brief(events)
		}
	}
}

// appEvents leaves out the positions that a stream says in between.
func appEvents(list []string) []string {
	return slices.DeleteFunc(list, func(s string) bool { return s == "position" })
}

func wantList(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestTargetsAreAUnion(t *testing.T) {
	h := newHub(t, settings(100, 1<<20))
	r := subscribe(t, h, hub.Subscription{User: "u1", Topics: []string{"a/*", "a/b", "**", "a/b"}})
	other := subscribe(t, h, hub.Subscription{User: "u2"})
	all := []broker.Target{
		{Kind: broker.Topic, Name: "a/b"}, {Kind: broker.User, Name: "u1"},
		{Kind: broker.Connection, Name: r.conn.ID}, {Kind: broker.Broadcast},
	}
	publish(t, h, broker.Record{Targets: all, Data: []byte("once")})
	publish(t, h, broker.Record{Targets: all, Data: []byte("not to r"), Exclude: []string{r.conn.ID}})
	publish(t, h, user("u2", "end"), user("u1", "end"))
	wantList(t, appEvents(collect(r, "end")), "connected", "once", "end")
	wantList(t, collect(other, "end"), "connected", "once", "not to r", "end")
}

// A resumed stream gets exactly what was missed, by whichever target it came.
func TestResume(t *testing.T) {
	h := newHub(t, settings(100, 1<<20))
	topics := []string{"a/*", "b"}
	r := subscribe(t, h, hub.Subscription{User: "u1", Topics: topics})
	publish(t, h, user("u1", "1"))
	collect(r, "1")
	id := publish(t, h, topic("a/x", "2"))
	collect(r, "2")
	r.conn.Close(nil)
	publish(t, h, topic("a/y", "3"), user("u2", "not his"), topic("b", "4"), topic("a/y/z", "not his"), user("u1", "5"),
		broker.Record{Targets: []broker.Target{{Kind: broker.Broadcast}}, Data: []byte("6")})

	for _, lastID := range []string{id.String(), id.String() + "~the/app's own ~ id"} {
		r = subscribe(t, h, hub.Subscription{User: "u1", Topics: topics, LastEventID: lastID})
		first := r.next()
		if first.ID != id.String() {
			t.Errorf("connected has id %q, want the resume point %q", first.ID, id)
		}
		wantList(t, collect(r, "6"), "3", "4", "5", "6")
		r.conn.Close(nil)
	}
	r = subscribe(t, h, hub.Subscription{User: "u1", Topics: topics, Replay: 2})
	wantList(t, collect(r, "6"), "connected", "5", "6")
	r.conn.Close(nil)

	// Cut off behind connected, the client comes back with its id, and misses nothing.
	r = subscribe(t, h, hub.Subscription{User: "u1", Topics: topics, Replay: 3})
	again := r.next().ID
	r.conn.Close(nil)
	r = subscribe(t, h, hub.Subscription{User: "u1", Topics: topics, LastEventID: again})
	wantList(t, collect(r, "6"), "connected", "4", "5", "6")
}

func TestGapOnlyWhereSomethingIsGone(t *testing.T) {
	h := newHub(t, settings(4, 1<<20))
	start := publish(t, h, user("quiet", "1"))
	for i := range 50 {
		publish(t, h, user("busy", fmt.Sprint(i)), topic(fmt.Sprintf("t/%d", i), "x"))
	}
	publish(t, h, user("quiet", "end"), user("busy", "end"))

	quiet := subscribe(t, h, hub.Subscription{User: "quiet", Topics: []string{"other/*", "t"}, LastEventID: start.String()})
	wantList(t, collect(quiet, "end"), "connected", "end")

	for _, sub := range []hub.Subscription{
		{User: "busy", LastEventID: start.String()},
		{User: "quiet", Topics: []string{"t/*"}, LastEventID: start.String()},
		{User: "quiet", Topics: []string{"t/7"}, LastEventID: start.String()},
	} {
		r := subscribe(t, h, sub)
		if m := r.next(); m.Type != "sse:connected" || m.ID != "" {
			t.Errorf("got %+v: what comes before a gap must leave the client's own id in force", m)
		}
		m := r.next()
		var g gap
		if err := json.Unmarshal([]byte(m.Data), &g); err != nil || m.Type != "sse:gap" {
			t.Fatalf("got %+v, want a gap", m)
		}
		if g.Reason != "trimmed" || g.From != start.String() || g.To != m.ID || g.Delay < 0 || g.Delay > 1000 {
			t.Errorf("got %+v in %+v", g, m)
		}
		r.conn.Close(nil)
	}
}

// Of the targets that were trimmed, only so many are remembered; past that a gap is said rather than nothing.
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

func TestUnknownIDs(t *testing.T) {
	h := newHub(t, settings(100, 1<<20))
	p := publish(t, h, user("u", "end"))
	ahead, foreign, checked := p, p, p
	ahead.Minor += 100
	foreign.Epoch++
	checked.Check = 7
	for _, id := range []string{
		"garbage", "~", ".", "-1", p.String() + "0", "\xff\xfe", strings.Repeat("x", 10_000), ahead.String(),
		foreign.String(), checked.String(), "0.0", strings.ToUpper(p.String()) + ".", p.String() + ".1.1",
	} {
		r := subscribe(t, h, hub.Subscription{User: "u", LastEventID: id})
		wantList(t, collect(r, "end"), "connected", "gap", "end")
		r.conn.Close(nil)
	}
}

// A slow client drops its pending list, and is given all of it again from the window.
func TestSlowClientCatchesUp(t *testing.T) {
	h := newHub(t, settings(1000, 2000))
	r := subscribe(t, h, hub.Subscription{User: "slow"})
	wantList(t, brief(r.poll()), "connected")
	var want []string
	for i := range 100 {
		data := fmt.Sprint(i)
		publish(t, h, user("slow", data), user("other", data))
		want = append(want, data)
	}
	wantList(t, collect(r, "99"), want...)
	publish(t, h, user("slow", "live again"))
	wantList(t, collect(r, "live again"), "live again")
}

func TestTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, settings(100, 1<<20))
		r := subscribe(t, h, hub.Subscription{User: "u"})
		wantList(t, brief(r.poll()), "connected")
		short := user("u", "short")
		short.TTL = time.Second
		start := publish(t, h, user("other", "x"))
		publish(t, h, short, user("u", "long"))
		synctest.Wait()
		time.Sleep(time.Second)
		wantList(t, brief(r.poll()), "long")
		r = subscribe(t, h, hub.Subscription{User: "u", LastEventID: start.String()})
		wantList(t, brief(r.poll()), "connected", "long")
		publish(t, h, short)
		synctest.Wait()
		wantList(t, brief(r.poll()), "short")
	})
}

func TestCoalesce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, settings(100, 1<<20))
		start := publish(t, h, user("other", "x"))
		r := subscribe(t, h, hub.Subscription{User: "u", Topics: []string{"t"}})
		wantList(t, brief(r.poll()), "connected")
		price := func(r broker.Record) broker.Record { r.Coalesce = "price"; return r }
		publish(t, h, price(user("u", "1")), price(topic("t", "other targets")), price(user("u", "2")), user("u", "none"), price(user("u", "3")))
		synctest.Wait()
		wantList(t, brief(r.poll()), "other targets", "none", "3")
		r = subscribe(t, h, hub.Subscription{User: "u", Topics: []string{"t"}, LastEventID: start.String()})
		wantList(t, brief(r.poll()), "connected", "other targets", "none", "3")
	})
}

// What is older than history allows is gone without anything being published.
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

// What its publisher does not want sent any more is missed by nobody.
func TestNoGapForVoidEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, settings(3, 1<<20))
		start := publish(t, h, user("other", "x"))
		for range 10 {
			r := user("u", "price")
			r.Coalesce = "price"
			publish(t, h, r)
		}
		publish(t, h, user("u", "end"))
		r := subscribe(t, h, hub.Subscription{User: "u", LastEventID: start.String()})
		wantList(t, brief(r.poll()), "connected", "price", "end")

		short := user("v", "short")
		short.TTL = time.Second
		start = publish(t, h, short)
		publish(t, h, short)
		time.Sleep(time.Second)
		publish(t, h, user("other", "x"), user("other", "x"), user("other", "x"), user("v", "end"))
		r = subscribe(t, h, hub.Subscription{User: "v", LastEventID: start.String()})
		wantList(t, brief(r.poll()), "connected", "end")
	})
}

// replay counts what the client gets, and not what it would have got at another time.
func TestReplayCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, settings(100, 1<<20))
		price, short := user("u", "price"), user("u", "short")
		price.Coalesce, short.TTL = "price", time.Second
		publish(t, h, user("u", "first"), user("u", "second"), price, price, short, user("other", "x"))
		time.Sleep(time.Second)
		r := subscribe(t, h, hub.Subscription{User: "u", Replay: 2})
		wantList(t, brief(r.poll()), "connected", "second", "price")
	})
}

// A client that was left out of an event, by the id of its connection, is not given it after a reconnect.
func TestExcludedAfterReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, settings(100, 1<<20))
		r := subscribe(t, h, hub.Subscription{User: "u", Topics: []string{"room"}})
		r.poll()
		mine := topic("room", "mine")
		mine.Exclude = []string{r.conn.ID}
		publish(t, h, mine)
		synctest.Wait()
		events := r.poll()
		if len(events) != 1 || events[0].Type != "sse:position" {
			t.Fatalf("got %v, want a position", events)
		}
		r.conn.Close(nil)
		r = subscribe(t, h, hub.Subscription{User: "u", Topics: []string{"room"}, LastEventID: events[0].ID})
		wantList(t, brief(r.poll()), "connected")
	})
}

// The first batch may be larger than the window: what is left of it gets old all the same.
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

// Names take memory, too.
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

// The page of a busy stream may listen for none of the names that come, and sees no ids of them: its position comes apart,
// behind the events, twice a window.
func TestPositionOnBusyStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, settings(100, 1<<20))
		r := subscribe(t, h, hub.Subscription{User: "busy"})
		from := r.poll()[0].ID
		var positions []string
		for i := range 500 {
			publish(t, h, user("busy", fmt.Sprint(i)), user("other", "x"))
			synctest.Wait()
			for _, m := range r.poll() {
				switch {
				case m.Type == "sse:position":
					positions = append(positions, m.ID)
					from = m.ID
				case m.Data != fmt.Sprint(i):
					t.Fatalf("got %q", m)
				}
			}
			if i%40 == 39 { // a page that heard nothing but positions opens anew
				back := subscribe(t, h, hub.Subscription{User: "busy", LastEventID: from})
				if got := brief(back.poll()); slices.Contains(got, "gap") {
					t.Fatalf("after %d events: %q", i+1, got)
				}
				back.conn.Close(nil)
			}
		}
		if n := len(positions); n < 10 || n > 20 {
			t.Errorf("%d positions over 1000 entries, want one for each 50", n)
		}
	})
}

// A quiet client whose id has used up half the window is given a newer one, in order and only while nothing
// waits for it.
func TestPosition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, settings(10, 1<<20))
		r := subscribe(t, h, hub.Subscription{User: "quiet"})
		wantList(t, brief(r.poll()), "connected")
		publish(t, h, user("other", "x"), user("other", "x"), user("other", "x"))
		synctest.Wait()
		if got := string(r.conn.Idle()); got != ":\n" {
			t.Errorf("got %q for a fresh position, want a heartbeat", got)
		}
		last := publish(t, h, user("other", "x"), user("other", "x"), user("other", "x"), user("other", "x"))
		synctest.Wait()
		if got, want := string(r.conn.Idle()), fmt.Sprintf("event: sse:position\ndata: {}\nid: %s\n\n", last); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got := string(r.conn.Idle()); got != ":\n" {
			t.Errorf("got %q for a fresh position, want a heartbeat", got)
		}
		// With nothing waiting only: what waits brings a newer id itself.
		publish(t, h, user("other", "x"), user("other", "x"), user("other", "x"), user("other", "x"), user("other", "x"), user("quiet", "y"))
		synctest.Wait()
		if got := string(r.conn.Idle()); got != ":\n" {
			t.Errorf("got %q while something waits, want a heartbeat", got)
		}
		events := r.poll()
		wantList(t, brief(events), "y")
		r.conn.Close(nil)
		publish(t, h, user("quiet", "end"))
		r = subscribe(t, h, hub.Subscription{User: "quiet", LastEventID: events[0].ID})
		wantList(t, collect(r, "end"), "connected", "end")
	})
}

func TestLimits(t *testing.T) {
	s := settings(10, 1<<20)
	s.Limits.Connections, s.Limits.PerUser, s.Limits.PerIP = 4, 2, 3
	h := newHub(t, s)
	var conns []*hub.Conn
	enter := func(user, address, want string) {
		t.Helper()
		c, err := h.Subscribe(t.Context(), hub.Subscription{User: user, Address: address})
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			conns = append(conns, c)
		}
		if got != want {
			t.Errorf("%s from %s: got %q, want %q", user, address, got, want)
		}
	}
	enter("a", "1", "")
	enter("a", "1", "")
	enter("a", "2", "per_user")
	enter("b", "1", "")
	enter("c", "1", "per_ip")
	enter("c", "2", "")
	enter("d", "3", "connections")
	for _, c := range conns {
		c.Close(nil)
	}
	conns = nil
	enter("a", "1", "")
	conns[0].Close(nil)
}

// The clients of a hub that goes away are told to come back at times of their own.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, settings(10, 1<<20))
		const clients = 2000
		ends := make(chan time.Duration, clients)
		retries := map[string]bool{}
		begin := time.Now()
		farewells := make(chan string, clients)
		for range clients {
			r := subscribe(t, h, hub.Subscription{User: "u"})
			go func() {
				defer r.conn.Close(nil)
				for {
					frames, err := r.conn.Next(nil, 1<<20)
					if err != nil {
						ends <- time.Since(begin)
						farewells <- string(frames[len(frames)-1])
						return
					}
					if len(frames) == 0 {
						<-r.wake
					}
				}
			}()
		}
		synctest.Wait()
		h.Drain(3 * time.Second)
		if took := time.Since(begin); took > 3*time.Second {
			t.Errorf("took %s", took)
		}
		perSecond := map[time.Duration]int{}
		for range clients {
			perSecond[(<-ends).Truncate(time.Second)]++
			retries[<-farewells] = true
		}
		if len(perSecond) != 3 || len(retries) < 500 {
			t.Errorf("not spread out: ends %v, %d different retries", perSecond, len(retries))
		}
	})
}

func TestViews(t *testing.T) {
	h := newHub(t, settings(10, 1<<20))
	a := subscribe(t, h, hub.Subscription{User: "a", Topics: []string{"r/*", "r/1"}}).conn
	subscribe(t, h, hub.Subscription{User: "a", Topics: []string{"r/2"}})
	subscribe(t, h, hub.Subscription{User: "b"})
	for filter, want := range map[hub.Filter]int{
		{}: 3, {User: "a"}: 2, {User: "c"}: 0, {Topic: "r/1"}: 1, {Topic: "r/2"}: 2, {User: "a", Topic: "r/2"}: 2, {User: "b", Topic: "r/1"}: 0,
	} {
		if list, total, _, _ := h.Connections(filter, 2); total != want || len(list) != min(want, 2) {
			t.Errorf("%+v: got %d of %d, want %d", filter, len(list), total, want)
		}
	}
	if users, total, _, _ := h.Users(t.Context(), "", 1); total != 2 || !slices.Equal(users, []hub.Count{{Name: "a", Connections: 2}}) {
		t.Errorf("got %v of %d", users, total)
	}
	if topics, total, _, _ := h.Topics(t.Context(), "", 10); total != 3 || topics[0] != (hub.Count{Name: "r/*", Connections: 1}) {
		t.Errorf("got %v of %d", topics, total)
	}
	if n, _ := h.Topic(t.Context(), "r/2"); n != 2 {
		t.Errorf("got %d", n)
	}
	if there, _ := h.Disconnect(t.Context(), "x"); there {
		t.Error("a connection that is not there was ended")
	}
	if there, _ := h.Disconnect(t.Context(), a.ID); !there {
		t.Error("disconnect found the wrong ones")
	}
}
