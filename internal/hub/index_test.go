package hub_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// In whatever order they leave, nothing of them stays.
func TestLeaversLeaveNoEntry(t *testing.T) {
	h := newHub(t, settings(100, 1<<20))
	for range 20 {
		var all []*hub.Conn
		for i := range 50 {
			all = append(all, subscribe(t, h, hub.Subscription{
				User: fmt.Sprintf("u%d", i%7), Topics: []string{fmt.Sprintf("t%d", i%5), "room/*", fmt.Sprintf("of/%d/**", i%3)},
			}).conn)
		}
		if h.Left() == 0 {
			t.Fatal("the index holds nothing")
		}
		for _, i := range rand.Perm(len(all)) {
			if i%2 == 0 {
				all[i].Narrow(func(topic string) bool { return topic == "room/*" })
			}
			all[i].Close(nil)
		}
		if n := h.Left(); n != 0 {
			t.Fatalf("%d entries are left", n)
		}
	}
}
