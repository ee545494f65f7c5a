package hub_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// A pushed frame comes before what waits, and does not change the client's place.
func TestPush(t *testing.T) {
	for name, pending := range map[string]int64{"live": 1 << 20, "catching up": 1} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t, settings(100, pending))
			r := subscribe(t, h, hub.Subscription{User: "u"})
			r.conn.Push([]byte("event: sse:test\ndata: 0\n\n"))
			publish(t, h, user("u", "1"), user("u", "2"))
			wantList(t, collect(r, "2"), "connected", "test", "1", "2")
			r.conn.Push([]byte("event: sse:test\ndata: 1\n\n"))
			r.conn.Push([]byte("event: sse:test\ndata: 2\n\n"))
			publish(t, h, user("u", "3"))
			wantList(t, collect(r, "3"), "test", "test", "3")
			other := subscribe(t, h, hub.Subscription{User: "u"})
			other.next()
			other.conn.End(hub.Draining, 0)
			r.conn.Close(nil)
			for _, c := range []*hub.Conn{r.conn, other.conn} {
				c.Push([]byte("event: sse:test\ndata: 3\n\n"))
				if frames, _ := c.Next(nil, 1<<20); strings.Contains(string(slices.Concat(frames...)), "sse:test") {
					t.Errorf("after the end: %q", frames)
				}
			}
			other.conn.Close(nil)
		})
	}
}
