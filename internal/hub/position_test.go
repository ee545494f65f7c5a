package hub_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// The page of a busy stream may have no listener for the events that come, and does not see their ids: it gets positions of
// their own after the events, twice a window.
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
			if i%40 == 39 { // a page that heard nothing but positions reconnects
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

// A quiet client whose id has used up half the window gets a newer one, in order and only while nothing waits for it.
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
		// Only if nothing waits: what waits brings a newer id itself.
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
