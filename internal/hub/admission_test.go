package hub_test

import (
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/hub"
)

func TestLimits(t *testing.T) {
	s := settings(10, 1<<20)
	s.Limits.Connections, s.Limits.PerUser, s.Limits.PerIP = 4, 2, 3
	h := newHub(t, s)
	var conns []*hub.Conn
	enter := func(user, address, want string) {
		t.Helper()
		c, err := h.Subscribe(t.Context(), hub.Subscription{User: user, Address: address})
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			conns = append(conns, c)
		}
		if got != want {
			t.Errorf("%s from %s: got %q, want %q", user, address, got, want)
		}
	}
	enter("a", "1", "")
	enter("a", "1", "")
	enter("a", "2", "per_user")
	enter("b", "1", "")
	enter("c", "1", "per_ip")
	enter("c", "2", "")
	enter("d", "3", "connections")
	for _, c := range conns {
		c.Close(nil)
	}
	conns = nil
	enter("a", "1", "")
	conns[0].Close(nil)
}
