package hub_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// told is a broker that says of some positions how they stand.
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

// Of several ids the newest that resolves counts, in whatever order they are given; if none does, there is a gap from the
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
		want  string // the id that counts, or the gap's reason and the id it is from
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
