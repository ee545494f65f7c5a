package hub_test

import (
	"slices"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/hub"
)

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
