package hub_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// explained checks the verdict on an event for a user or connection, and that its detail has a word.
func explained(t *testing.T, h *hub.Hub, who, event string, want hub.Verdict, word string) hub.Explanation {
	t.Helper()
	x, err := h.Explain(hub.Question{Who: who, Event: event, Granted: func(_ hub.Attachment, user, topic string) bool {
		return strings.HasPrefix(topic, "granted/"+user+"/")
	}})
	if err != nil {
		t.Fatal(err)
	}
	if x.Verdict != want || !strings.Contains(x.Detail, word) {
		t.Errorf("%s of %s: got %s (%s), want %s (… %s …)", who, event, x.Verdict, x.Detail, want, word)
	}
	return x
}

func TestExplainSent(t *testing.T) {
	h := newHub(t, settings(100, 1<<20))
	r := subscribe(t, h, hub.Subscription{User: "u1", Topics: []string{"a/*"}})
	r.poll()
	direct := publish(t, h, user("u1", "1")).String()
	byTopic := publish(t, h, topic("a/b", "2"))
	collect(r, "2")
	for _, who := range []string{"u1", r.conn.ID} {
		explained(t, h, who, direct, hub.Sent, "given")
		x := explained(t, h, who, byTopic.String()+"~id of the app", hub.Sent, "")
		if len(x.Connections) != 1 || x.Connections[0].Connection != r.conn.ID || x.Connections[0].Until != nil {
			t.Errorf("got %+v", x.Connections)
		}
		if x.Event.Bytes == 0 || !slices.Equal(x.Event.Targets, []string{"topic a/b"}) {
			t.Errorf("got event %+v", x.Event)
		}
	}
	// It is still known when the stream has ended.
	r.conn.Close(context.Canceled)
	x := explained(t, h, "u1", direct, hub.Sent, "given")
	if a := x.Connections[0]; a.Until == nil || a.Reason != "the client left" {
		t.Errorf("got %+v", a)
	}
}

func TestExplainNotConnected(t *testing.T) {
	h := newHub(t, settings(100, 1<<20))
	id := publish(t, h, user("u1", "1")).String()
	explained(t, h, "u1", id, hub.NotConnected, "no user or connection of this name")
	explained(t, h, "u2", id, hub.NotAddressed, "went to others")

	// A client that came later did not hear it, nor did one that was gone before.
	r := subscribe(t, h, hub.Subscription{User: "u1"})
	r.poll()
	explained(t, h, "u1", id, hub.NotConnected, "after this event")
	r.conn.Close(io.ErrUnexpectedEOF)
	late := publish(t, h, user("u1", "2")).String()
	explained(t, h, "u1", late, hub.NotConnected, "unexpected EOF")
	// A client that resumes gets it.
	r = subscribe(t, h, hub.Subscription{User: "u1", LastEventID: id})
	collect(r, "2")
	explained(t, h, "u1", late, hub.Sent, "")
}

func TestExplainTopics(t *testing.T) {
	h := newHub(t, settings(100, 1<<20))
	r := subscribe(t, h, hub.Subscription{User: "u1", Topics: []string{"granted/u1/a"}})
	r.poll()
	explained(t, h, "u1", publish(t, h, topic("granted/u1/b", "1")).String(), hub.NotSubscribed, "granted/u1/b")
	explained(t, h, "u1", publish(t, h, topic("granted/u2/a", "2")).String(), hub.NotGranted, "granted/u2/a")
	explained(t, h, "u1", publish(t, h, user("u2", "3")).String(), hub.NotAddressed, "others")
	// The same is known of ended streams.
	id := publish(t, h, topic("granted/u1/b", "4")).String()
	r.conn.Close(nil)
	explained(t, h, "u1", id, hub.NotSubscribed, "")
}

func TestExplainExcluded(t *testing.T) {
	h := newHub(t, settings(100, 1<<20))
	r := subscribe(t, h, hub.Subscription{User: "u1"})
	other := subscribe(t, h, hub.Subscription{User: "u1"})
	e := user("u1", "1")
	e.Exclude = []string{r.conn.ID}
	id := publish(t, h, e).String()
	collect(other, "1")
	r.poll()
	explained(t, h, r.conn.ID, id, hub.Excluded, "publisher")
	// The user has got it.
	if x := explained(t, h, "u1", id, hub.Sent, ""); len(x.Connections) != 2 || x.Counts[hub.Excluded] != 1 {
		t.Errorf("got %+v", x)
	}
}

func TestExplainExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, settings(100, 1<<20))
		r := subscribe(t, h, hub.Subscription{User: "u1"})
		r.poll()
		e := user("u1", "in time")
		e.TTL = time.Minute
		inTime := publish(t, h, e).String()
		synctest.Wait()
		r.poll()
		e.Data = []byte("late")
		late := publish(t, h, e).String()
		synctest.Wait()
		explained(t, h, "u1", late, hub.Pending, "1 events wait")
		time.Sleep(2 * time.Minute)
		explained(t, h, "u1", late, hub.Expired, "expired at")
		publish(t, h, user("u1", "next"))
		synctest.Wait()
		wantList(t, brief(r.poll()), "next")
		explained(t, h, "u1", late, hub.Expired, "expired at")
		explained(t, h, "u1", inTime, hub.Sent, "")
	})
}

func TestExplainCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, settings(100, 1<<20))
		r := subscribe(t, h, hub.Subscription{User: "u1"})
		r.poll()
		e := user("u1", "old")
		e.Coalesce = "k"
		old := publish(t, h, e).String()
		e.Data = []byte("new")
		publish(t, h, e)
		synctest.Wait()
		wantList(t, brief(r.poll()), "new")
		explained(t, h, "u1", old, hub.Coalesced, "newer")
	})
}

func TestExplainPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, settings(100, 1<<20))
		r := subscribe(t, h, hub.Subscription{User: "u1"})
		r.poll()
		first := publish(t, h, user("u1", "1")).String()
		second := publish(t, h, user("u1", "2")).String()
		synctest.Wait()
		explained(t, h, "u1", first, hub.Pending, "2 events wait")
		explained(t, h, "u1", second, hub.Pending, "2 events wait")
		if x := explained(t, h, "u1", "", hub.Connected, "2 events waiting"); x.Event != nil {
			t.Errorf("got %+v", x.Event)
		}
		r.conn.Close(errors.New("it broke"))
		explained(t, h, "u1", second, hub.Unsent, "it broke")

		// This connection has yet to catch up.
		r = subscribe(t, h, hub.Subscription{User: "u1", LastEventID: first})
		explained(t, h, r.conn.ID, second, hub.Pending, "catching up")
		wantList(t, brief(r.poll()), "connected", "2")
		explained(t, h, "u1", second, hub.Sent, "")
	})
}

func TestExplainGap(t *testing.T) {
	h := newHub(t, settings(2, 1<<20))
	r := subscribe(t, h, hub.Subscription{User: "u1"})
	had := publish(t, h, user("u1", "1")).String()
	collect(r, "1")
	r.conn.Close(context.Canceled)
	missed := publish(t, h, user("u1", "2")).String()
	for n := range 4 {
		publish(t, h, user("u1", fmt.Sprint(n)))
	}
	explained(t, h, "u1", missed, hub.Forgotten, "no longer has")
	r = subscribe(t, h, hub.Subscription{User: "u1", LastEventID: had})
	if got := brief(r.poll()); !slices.Contains(got, "gap") {
		t.Fatalf("got %q", got)
	}
	explained(t, h, "u1", missed, hub.InGap, "trimmed")
	explained(t, h, "u1", had, hub.Forgotten, "") // it got that one, so it is not in the gap
}

func TestExplainUnknown(t *testing.T) {
	h := newHub(t, settings(2, 1<<20))
	p := publish(t, h, user("u1", "1"))
	p.Epoch++
	explained(t, h, "u1", p.String(), hub.Unknown, "no event")
	for _, id := range []string{"no id", "<script>", strings.Repeat("1", 1000)} {
		if _, err := h.Explain(hub.Question{Event: id}); !errors.Is(err, hub.ErrNoEventID) {
			t.Errorf("%.20s: got %v", id, err)
		}
	}
}

// Without a user, everyone that the event was for is counted, and those that got it come last.
func TestExplainEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, settings(100, 1<<20))
		var readers []*reader
		for i := range 300 {
			r := subscribe(t, h, hub.Subscription{User: fmt.Sprint(i), Topics: []string{"all"}})
			r.poll()
			readers = append(readers, r)
		}
		e := topic("all", "1")
		e.Targets = append(e.Targets, broker.Target{Kind: broker.User, Name: "7"})
		id := publish(t, h, e).String()
		synctest.Wait()
		for _, r := range readers[1:] {
			r.poll()
		}
		x, err := h.Explain(hub.Question{Event: id})
		if err != nil {
			t.Fatal(err)
		}
		if x.Verdict != "" || x.Counts[hub.Sent] != 299 || x.Counts[hub.Pending] != 1 || len(x.Connections) != 100 || x.Connections[0].User != "0" {
			t.Errorf("got %v %v, %d accounts, the first %+v", x.Verdict, x.Counts, len(x.Connections), x.Connections[0])
		}
	})
}

// What a trace keeps is bounded, and the newest stays.
func TestTraceIsBounded(t *testing.T) {
	h := newHub(t, settings(10, 1<<20))
	var topics []string
	for i := range 50 {
		topics = append(topics, fmt.Sprint(strings.Repeat("x", 200), i))
	}
	for i := range 10_000 {
		sub := hub.Subscription{User: fmt.Sprint(i)}
		if i%10 == 0 {
			sub.Topics = topics
		}
		subscribe(t, h, sub).conn.Close(nil)
	}
	if n, bytes := h.Traced(); n < 50 || n > 10_000 || bytes > 1<<20 {
		t.Errorf("%d are kept, %d bytes", n, bytes)
	}
	explained(t, h, "0", "", hub.NotConnected, "no user or connection of this name")
	explained(t, h, "9999", "", hub.NotConnected, "ended")

	// What is attached to a connection counts as well.
	for range 1000 {
		subscribe(t, h, hub.Subscription{Attached: attachment(100 << 10)}).conn.Close(nil)
	}
	if n, _ := h.Traced(); n > 500 {
		t.Errorf("%d are kept", n)
	}
}

type attachment int

func (a attachment) Bytes() int { return int(a) }

// A hub's lists can be read page by page, while connections come and go.
func TestPages(t *testing.T) {
	h := newHub(t, settings(10, 1<<20))
	const clients, page = 95, 10
	var conns []*hub.Conn
	for i := range clients {
		conns = append(conns, subscribe(t, h, hub.Subscription{User: fmt.Sprintf("u%03d", i), Topics: []string{fmt.Sprintf("t%03d", i)}}).conn)
	}
	var ids, users, topics []string
	for after := ""; ; {
		list, total, next, err := h.Connections(hub.Filter{After: after}, page)
		if err != nil || len(list) > page || total < clients-1 {
			t.Fatalf("got %d of %d, %v", len(list), total, err)
		}
		for _, c := range list {
			ids = append(ids, c.ID)
		}
		if after = next; next == "" {
			break
		}
		if len(ids) == 50 { // the next page begins after this one
			conns[49].Close(nil)
		}
	}
	for i, c := range conns {
		if i >= len(ids) || ids[i] != c.ID {
			t.Fatalf("row %d is not the connection of that age; there are %d rows", i, len(ids))
		}
	}
	conns = slices.Delete(conns, 49, 50)
	for _, list := range []struct {
		of   func(context.Context, string, int) ([]hub.Count, int, string, error)
		rows *[]string
	}{{h.Users, &users}, {h.Topics, &topics}} {
		for after := ""; ; {
			rows, total, next, err := list.of(t.Context(), after, page)
			if err != nil || total != len(conns) || len(rows) > page {
				t.Fatalf("got %d of %d, %v", len(rows), total, err)
			}
			for _, r := range rows {
				*list.rows = append(*list.rows, r.Name)
			}
			if after = next; next == "" {
				break
			}
		}
		if len(*list.rows) != len(conns) || !slices.IsSorted(*list.rows) || len(slices.Compact(*list.rows)) != len(conns) {
			t.Errorf("got %v", *list.rows)
		}
	}
	for _, after := range []string{"x", "1", "<script>.x", "zzzzzzzzzzzzzzzzzzz.a"} {
		if _, _, _, err := h.Connections(hub.Filter{After: after}, page); err == nil {
			t.Errorf("after %q is taken", after)
		}
	}
}

func TestRecent(t *testing.T) {
	h := newHub(t, settings(3, 1<<20))
	start, err := h.Position(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r := h.Recent(start, hub.TapFilter{}, 10); len(r.Events) > 0 || r.UpTo != start || r.Gap || r.More == nil {
		t.Errorf("an empty log: %+v", r)
	}
	e := topic("a/b", "two\nlines")
	e.Type, e.ID = "named", "7"
	at := publish(t, h, user("u1", "1"), e)
	r := h.Recent(start, hub.TapFilter{Topic: "a/*"}, 10)
	if len(r.Events) != 1 || r.UpTo != at || r.Gap {
		t.Fatalf("got %+v", r)
	}
	if got := r.Events[0]; string(got.Data) != "two\nlines" || got.Type != "named" || got.ID != "7" || got.Position != at || got.Size != 9 {
		t.Errorf("got %+v", got)
	}
	if r = h.Recent(start, hub.TapFilter{}, 1); len(r.Events) != 1 || string(r.Events[0].Data) != "1" {
		t.Errorf("got %+v", r)
	}
	if r = h.Recent(r.UpTo, hub.TapFilter{}, 1); len(r.Events) != 1 || r.UpTo != at {
		t.Errorf("got %+v", r)
	}
	more := h.Recent(at, hub.TapFilter{}, 1).More
	publish(t, h, user("u1", "2"), user("u1", "3"), user("u1", "4"))
	<-more
	if r = h.Recent(start, hub.TapFilter{}, 10); !r.Gap || len(r.Events) != 3 {
		t.Errorf("got %+v", r)
	}
	if r = h.Recent(broker.Position{Epoch: 1, Minor: 1}, hub.TapFilter{}, 10); !r.Gap || len(r.Events) != 3 {
		t.Errorf("got %+v", r)
	}
}
