package hub_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

// data joins the data of an app's events.
func data(events []sse.Message) (all string) {
	for _, m := range events {
		if !strings.HasPrefix(m.Type, "sse:") {
			all += m.Data
		}
	}
	return all
}

// A client that was excluded from an event does not get it when it comes back as another connection, wherever it was cut off:
// its last id tells how far its stream had come.
func TestExcludedAfterAnyCut(t *testing.T) {
	// Each letter is an event, and each word a batch. The connection is excluded from upper case; z expires at once.
	scripts := []string{"X", "aX", "Xa", "aXb", "aXYb", "aXYbZ", "a X", "a Xb", "abcdeXfgh iYjZ", "XYZ", "zX", "aXz", "XzYa Z", "aXzYz"}
	for how, s := range map[string]hub.Settings{
		"live": settings(100, 1<<20), "slow": settings(100, 1), "from the broker": settings(3, 1),
	} {
		for _, script := range scripts {
			t.Run(how+" "+script, func(t *testing.T) {
				e := newEngine()
				h, _ := e.hub(t, s)
				sub := hub.Subscription{User: "u", Topics: []string{"room"}}
				r := subscribe(t, h, sub)
				events := r.poll()
				rest := map[string]string{events[0].ID: strings.NewReplacer(" ", "", "z", "").Replace(script)} // by id
				all := rest[events[0].ID]
				for batch := range strings.FieldsSeq(script) {
					var records []broker.Record
					for _, letter := range batch {
						x := topic("room", string(letter))
						if letter == 'z' {
							x.TTL = time.Nanosecond
						} else if unicode.IsUpper(letter) {
							x.Exclude = []string{"another", r.conn.ID}
						}
						records = append(records, x)
					}
					for i, result := range h.Publish(t.Context(), records) {
						all = strings.TrimPrefix(all, batch[i:i+1])
						rest[result.Position.String()] = all
					}
					r.taken(h)
					events = append(events, r.catchUp(h)...)
					if left := rest[events[len(events)-1].ID]; left != all {
						t.Errorf("after %q, it would be given %q again", batch, strings.TrimSuffix(left, all))
					}
				}
				r.conn.Close(nil)
				for cut, last := range events {
					sub.LastEventID = last.ID
					again := subscribe(t, h, sub)
					if got := data(again.catchUp(h)); got != rest[last.ID] {
						t.Errorf("cut off after %q: it got %q, want %q", brief(events[:cut+1]), got, rest[last.ID])
					}
					again.conn.Close(nil)
				}
			})
		}
	}
}

// Pending events that the client is excluded from count as passed when the hub ends the stream.
func TestExcludedWhenTheStreamEnds(t *testing.T) {
	h := newHub(t, settings(100, 1<<20))
	sub := hub.Subscription{User: "u", Topics: []string{"room"}}
	r := subscribe(t, h, sub)
	r.poll()
	x := topic("room", "X")
	x.Exclude = []string{r.conn.ID}
	publish(t, h, x, x, topic("room", "a"))
	r.taken(h)
	r.conn.End(hub.GrantEnded, 0)
	r.fetch()
	r.fetch() // nothing comes twice
	r.conn.Close(nil)
	wantList(t, brief(r.events), "position", "closing")
	sub.LastEventID = r.events[0].ID
	r = subscribe(t, h, sub)
	wantList(t, brief(r.poll()), "connected", "a")
}

// Taking a topic away drops no event that the client is excluded from.
func TestExcludedAndNarrowed(t *testing.T) {
	h := newHub(t, settings(100, 1<<20))
	sub := hub.Subscription{User: "u", Topics: []string{"room", "hall"}}
	r := subscribe(t, h, sub)
	r.poll()
	x := topic("hall", "X")
	x.Exclude = []string{r.conn.ID}
	publish(t, h, x)
	there, err := h.Leave(t.Context(), userU, []string{"hall"})
	mustSteer(t, there, err)
	events := r.poll()
	wantList(t, brief(events), "topics", "position")
	r.conn.Close(nil)
	sub.LastEventID = events[1].ID
	r = subscribe(t, h, sub)
	wantList(t, brief(r.poll()), "connected")
}

// A client that was excluded from an event by its connection's id does not get it after a reconnect.
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
