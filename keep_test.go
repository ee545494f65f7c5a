package ssepush_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// A client that asks for a hundred long topics is charged for them, and turned away where the hub's memory is used up by
// such. Others still come in, and there is room again when some leave.
func TestTopicsCountAsMemory(t *testing.T) {
	overAll(t, func(t *testing.T, protocol, tls string) {
		s := serve(t, fair(tls, "memory 2MiB", ""))
		s.via(protocol)
		ask := func(who int) *client {
			var b strings.Builder
			fmt.Fprintf(&b, "userId=u%d", who)
			for i := range 100 {
				fmt.Fprintf(&b, "&topic=public/%d-%d-%s", who, i, strings.Repeat("x", 200))
			}
			return s.stream("POST", "/events", b.String(), "Accept", "text/event-stream", "Content-Type", formType)
		}
		var greedy []*client
		for {
			c := ask(len(greedy))
			if m := c.next(); m.Type == "sse:rejected" {
				if m.Data != `{"reason":"memory"}` {
					t.Fatalf("got %q", m)
				}
				break
			}
			if greedy = append(greedy, c); len(greedy) == 100 {
				t.Fatal("nothing bounds them")
			}
		}
		if len(greedy) < 10 {
			t.Errorf("only %d came in", len(greedy))
		}
		s.open("/events?userId=u1&topic=room").close()
		greedy[0].close()
		waitFor(t, "its place is free", func() bool { return get[userCount](s, "/_sse/users/u0").Connections == 0 })
		ask(0).begin()
		s.publish("topic", "public/1-99-"+strings.Repeat("x", 200), "data", "1")
		greedy[1].want("1")
	})
}

// An Origin is kept for as long as a stream lives, so it must not be long.
func TestLongOrigin(t *testing.T) {
	s := serve(t, route(`cors_origins *`))
	origin := func(n int) string { return "https://" + strings.Repeat("x", n-len("https://")) }
	if c := s.open("/events?userId=u1", "Origin", origin(512)); c.status != http.StatusOK {
		t.Errorf("512 bytes: got %d", c.status)
	}
	for _, method := range []string{"GET", "POST", "OPTIONS"} {
		a := s.do(method, "/events?userId=u1", "", "Origin", origin(513), "Access-Control-Request-Method", "GET", "Accept", "text/event-stream")
		if a.status != http.StatusForbidden || !strings.Contains(a.body, "longer than 512 bytes") {
			t.Errorf("%s, 513 bytes: got %d %s", method, a.status, a.body)
		}
	}
}
