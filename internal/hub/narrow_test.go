package hub_test

import (
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

func without(prefix string) func(string) bool {
	return func(topic string) bool { return !strings.HasPrefix(topic, prefix) }
}

func TestNarrow(t *testing.T) {
	for name, pending := range map[string]int64{"live": 1 << 20, "catching up": 1} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t, settings(100, pending))
			r := subscribe(t, h, hub.Subscription{User: "u", Topics: []string{"room/*", "room/1", "news"}})
			r.poll()
			both := broker.Record{Targets: []broker.Target{{Kind: broker.Topic, Name: "room/1"}, {Kind: broker.Topic, Name: "news"}}, Data: []byte("to both")}
			publish(t, h, topic("room/1", "not his any more"), user("u", "1"), both, topic("room/2", "nor this"), topic("news", "2"))
			if !r.conn.Narrow(without("room/")) {
				t.Error("nothing was revoked")
			}
			if r.conn.Narrow(without("room/")) {
				t.Error("revoked twice")
			}
			publish(t, h, topic("room/1", "nor this"), user("u", "3"))
			var events []sse.Message
			for len(events) == 0 || events[len(events)-1].Data != "3" {
				events = append(events, r.next())
			}
			wantList(t, brief(events), "gap", "1", "to both", "2", "3")
			for i, rest := range [][]string{{"1", "to both", "2", "3"}, {"to both", "2", "3"}} { // cut off behind the gap, and behind one more
				again := subscribe(t, h, hub.Subscription{User: "u", Topics: []string{"news"}, LastEventID: events[i].ID})
				wantList(t, collect(again, "3"), append([]string{"connected"}, rest...)...)
				again.conn.Close(nil)
			}
			if topics, total, _, _ := h.Topics(t.Context(), "", 10); total != 1 || topics[0].Name != "news" {
				t.Errorf("left: %v", topics)
			}
			r.conn.Close(nil)
			if r.conn.Narrow(without("news")) {
				t.Error("one that has left was narrowed")
			}
			if _, total, _, _ := h.Topics(t.Context(), "", 10); total != 0 {
				t.Errorf("%d topics are left", total)
			}
		})
	}
}

// Whatever else goes on, an event that is still his comes once, and in order; one that is not never comes again.
func TestNarrowUnderLoad(t *testing.T) {
	h := newHub(t, settings(100_000, 4096))
	r := subscribe(t, h, hub.Subscription{User: "u", Topics: []string{"a", "b"}})
	const events = 5000
	narrowed := make(chan struct{})
	go func() {
		defer close(narrowed)
		for i := range events {
			publish(t, h, user("u", strconv.Itoa(i)), topic("a", "a"), topic("b", "b"))
			switch i {
			case events / 3:
				r.conn.Narrow(without("a"))
				publish(t, h, topic("a", "never"))
			case events / 2:
				r.conn.Narrow(without("b"))
				publish(t, h, topic("b", "never"))
			}
		}
	}()
	gaps := 0
	for want := 0; want < events; {
		switch m := r.next(); {
		case m.Data == strconv.Itoa(want):
			want++
		case m.Type == "sse:gap":
			gaps++
		case m.Data == "never", m.Data == "a" && gaps > 0, m.Data == "b" && gaps > 1:
			t.Fatalf("behind %d gaps, got %q", gaps, m)
		case m.Data != "a" && m.Data != "b" && m.Type == "":
			t.Fatalf("got %q, want %d", m, want)
		}
	}
	<-narrowed
	if gaps != 2 {
		t.Errorf("got %d gaps", gaps)
	}
}

// As many come in as may, and those who are sent off come back at that rate.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := settings(10, 1<<20)
		s.Limits.Rate = 10
		h := newHub(t, s)
		arrive := func(n int) (admitted int, again []time.Duration) {
			for range n {
				err := h.Arrive("")
				if err == nil {
					admitted++
					continue
				}
				refusal := err.(*hub.Refusal)
				if refusal.Reason != "rate" || refusal.Again <= 0 {
					t.Fatalf("got %+v", refusal)
				}
				again = append(again, refusal.Again)
			}
			return admitted, again
		}
		admitted, again := arrive(500)
		if admitted != 10 {
			t.Errorf("%d were admitted at once", admitted)
		}
		perSecond := map[time.Duration]int{}
		for _, d := range again {
			perSecond[d.Truncate(time.Second)]++
		}
		for second, n := range perSecond {
			if n > 10 {
				t.Errorf("%d come back in the second behind %s", n, second)
			}
		}
		_, again = arrive(10_000)
		for i, d := range again {
			if d > time.Minute {
				t.Fatalf("the %dth is sent off for %s", i, d)
			}
		}
		time.Sleep(2 * time.Minute)
		if admitted, again := arrive(15); admitted != 10 || again[0] > 200*time.Millisecond || again[4] < 400*time.Millisecond {
			t.Errorf("two minutes later %d were admitted, the others sent off for %v", admitted, again)
		}
		h.Configure(settings(10, 1<<20))
		if admitted, _ := arrive(100); admitted != 100 {
			t.Errorf("without a limit %d were admitted", admitted)
		}
	})
}
