package hub_test

import (
	"strconv"
	"strings"
	"testing"

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
			publish(t, h, topic("room/1", "not theirs any more"), user("u", "1"), both, topic("room/2", "nor this"), topic("news", "2"))
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
			for i, rest := range [][]string{{"1", "to both", "2", "3"}, {"to both", "2", "3"}} { // cut off after the gap, and after one more
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

// Whatever else goes on, an event that is still granted comes once, and in order; one that is not never comes again.
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
			t.Fatalf("after %d gaps, got %q", gaps, m)
		case m.Data != "a" && m.Data != "b" && m.Type == "":
			t.Fatalf("got %q, want %d", m, want)
		}
	}
	<-narrowed
	if gaps != 2 {
		t.Errorf("got %d gaps", gaps)
	}
}
