package hub_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// A slow client's pending list is dropped, and the client gets all of it from the window.
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

// A page of the log whose events have all expired is passed over, without waiting for anything else to wake the stream.
func TestPageOfExpiredEvents(t *testing.T) {
	l := logOf(301)
	for i := range l.entries[:150] {
		l.entries[i].Record.TTL = time.Nanosecond
	}
	h := hub.New("test", l, settings(10, 1<<20))
	t.Cleanup(func() { _ = h.Close() })
	got := resumed(t, h, position(0), "300")
	if len(got) != 1+(300-150)/3+1 || got[1] != "150" {
		t.Errorf("got %q", got)
	}
}
