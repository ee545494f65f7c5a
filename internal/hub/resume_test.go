package hub_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// told is a broker with given standings for some positions.
type told struct {
	*node
	standings map[broker.Position]broker.Standing
	asked     atomic.Int32
}

func (b *told) Resolve(ctx context.Context, p broker.Position) (broker.Standing, error) {
	b.asked.Add(1)
	if s, ok := b.standings[p]; ok {
		return s, nil
	}
	return b.node.Resolve(ctx, p)
}

func newTold(t *testing.T, s hub.Settings) (*told, *hub.Hub) {
	b := &told{node: newEngine().node(), standings: map[broker.Position]broker.Standing{}}
	h := hub.New("test", b, s)
	t.Cleanup(func() { _ = h.Close() })
	return b, h
}

// permute calls f with every order of a list.
func permute(list []string, f func([]string)) {
	if len(list) < 2 {
		f(list)
		return
	}
	for i := range list {
		rest := append(append([]string{}, list[:i]...), list[i+1:]...)
		permute(rest, func(tail []string) { f(append([]string{list[i]}, tail...)) })
	}
}

// Of several ids the newest that resolves counts, in whatever order they are given. If none does, there is a gap from the
// newest that is known at all.
func TestNewestIDCounts(t *testing.T) {
	b, h := newTold(t, settings(10, 1<<20))
	var at []broker.Position
	for i := range 20 {
		at = append(at, publish(t, h, user("u", fmt.Sprint(i))))
	}
	checked, foreign := at[17], at[19]
	checked.Check, foreign.Epoch = 9, at[0].Epoch^1
	ids := map[string]broker.Position{
		"exact 18": at[18], "exact 15": at[15], "archived 5": at[5], "archived 4": at[4],
		"trimmed 3": at[3], "trimmed 2": at[2], "lost 17": checked, "lost life": foreign,
		"unknown": {Epoch: 1, Minor: 1}, "ahead": {Epoch: at[0].Epoch, Minor: 1000},
	}
	b.standings = map[broker.Position]broker.Standing{
		at[3]: broker.Trimmed, at[2]: broker.Trimmed, checked: broker.Lost, foreign: broker.Lost, ids["ahead"]: broker.Ahead,
	}
	for _, c := range []struct {
		given string // names of ids
		want  string // the id that counts, or the reason of the gap and the id that it is from
		first string // the first event
	}{
		{"exact 15", "exact 15", "16"},
		{"exact 18, exact 15", "exact 18", "19"},
		{"exact 15, archived 5", "exact 15", "16"},
		{"archived 5, archived 4", "archived 5", "6"},
		{"exact 15, trimmed 3", "exact 15", "16"},
		{"archived 4, trimmed 3, trimmed 2", "archived 4", "5"},
		{"exact 15, unknown", "exact 15", "16"},
		{"exact 15, ahead", "exact 15", "16"},
		{"archived 5, unknown, ahead, trimmed 2", "archived 5", "6"},
		{"exact 18, lost 17", "exact 18", "19"},
		{"exact 15, lost life", "exact 15", "16"}, // the log has gone on since that life
		{"exact 15, lost 17", "lost lost 17", "16"},
		{"archived 5, lost 17", "lost lost 17", "6"},
		{"trimmed 3", "trimmed trimmed 3", "10"},
		{"trimmed 3, trimmed 2", "trimmed trimmed 3", "10"},
		{"trimmed 3, unknown", "trimmed trimmed 3", "10"},
		{"trimmed 3, ahead, lost life", "trimmed trimmed 3", "10"},
		{"trimmed 3, lost 17", "lost lost 17", "10"},
		{"lost 17, unknown", "lost lost 17", "10"},
		{"lost life, ahead", "lost lost life", "10"},
		{"unknown", "unknown unknown", "10"},
		{"ahead, unknown", "unknown ahead", "10"},
	} {
		permute(strings.Split(c.given, ", "), func(names []string) {
			sub := hub.Subscription{User: "u"}
			for _, name := range names {
				sub.OtherIDs = append(sub.OtherIDs, ids[name].String()+"~own")
			}
			sub.LastEventID, sub.OtherIDs = sub.OtherIDs[0], sub.OtherIDs[1:]
			r := subscribe(t, h, sub)
			defer r.conn.Close(nil)
			m := r.next()
			got := m.ID
			want := ids[c.want].String()
			if reason, from, ok := strings.Cut(c.want, " "); ok && ids[c.want].IsZero() {
				want = "gap " + reason + " from " + ids[from].String()
				var g gap
				m = r.next()
				if err := json.Unmarshal([]byte(m.Data), &g); err != nil {
					t.Fatal(err)
				}
				got += m.Type[len("sse:"):] + " " + g.Reason + " from " + g.From
				if m.ID != g.To {
					t.Errorf("%q: the gap has the id %q, and is to %q", names, m.ID, g.To)
				}
			}
			if first := r.next().Data; got != want || first != c.first {
				t.Errorf("%q: got %q, then %s, want %q, then %s", names, got, first, want, c.first)
			}
		})
	}
}

// The broker is asked few questions for one client, however many ids it gives.
func TestQuestionsAreBounded(t *testing.T) {
	b, h := newTold(t, settings(10, 1<<20))
	p := publish(t, h, user("u", "1"))
	var sub hub.Subscription
	for i := range hub.MaxIDs - 1 {
		sub.OtherIDs = append(sub.OtherIDs, broker.Position{Epoch: uint64(i + 1), Minor: 1}.String())
	}
	sub.LastEventID = "1.1000"
	subscribe(t, h, sub).conn.Close(nil)
	if n := b.asked.Load(); n > 4 {
		t.Errorf("the broker was asked %d times", n)
	}
	b.asked.Store(0)
	sub.LastEventID = p.String()
	r := subscribe(t, h, sub)
	if m := r.next(); m.ID != p.String() || b.asked.Load() > 4 {
		t.Errorf("got %v, after %d questions", m, b.asked.Load())
	}
}

// A resumed stream gets exactly what was missed, through whichever target it came.
func TestResume(t *testing.T) {
	h := newHub(t, settings(100, 1<<20))
	topics := []string{"a/*", "b"}
	r := subscribe(t, h, hub.Subscription{User: "u1", Topics: topics})
	publish(t, h, user("u1", "1"))
	collect(r, "1")
	id := publish(t, h, topic("a/x", "2"))
	collect(r, "2")
	r.conn.Close(nil)
	publish(t, h, topic("a/y", "3"), user("u2", "not theirs"), topic("b", "4"), topic("a/y/z", "not his"), user("u1", "5"),
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

	// A client that is cut off after connected comes back with its id, and misses nothing.
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

// replay counts events that the client gets, not those that have expired or were replaced.
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
