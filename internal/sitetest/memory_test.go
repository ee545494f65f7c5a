package sitetest_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// A client that asks for a hundred long topics is charged for them, and turned away where the hub's memory is used up by
// such. Others still come in, and there is room again when some leave.
func TestTopicsCountAsMemory(t *testing.T) {
	sitetest.OverAll(t, func(t *testing.T, protocol, tls string) {
		s := sitetest.Serve(t, sitetest.Crowded(tls, "memory 2MiB", ""))
		s.Via(protocol)
		ask := func(who int) *sitetest.Client {
			var b strings.Builder
			fmt.Fprintf(&b, "userId=u%d", who)
			for i := range 100 {
				fmt.Fprintf(&b, "&topic=public/%d-%d-%s", who, i, strings.Repeat("x", 200))
			}
			return s.Stream("POST", "/events", b.String(), "Accept", "text/event-stream", "Content-Type", sitetest.FormType)
		}
		var greedy []*sitetest.Client
		for {
			c := ask(len(greedy))
			if m := c.Next(); m.Type == "sse:rejected" {
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
		s.Open("/events?userId=u1&topic=room").Close()
		greedy[0].Close()
		brokertest.Eventually(t, "its place is free", func() bool { return sitetest.Get[userCount](s, "/_sse/users/u0").Connections == 0 })
		ask(0).Begin()
		s.Publish("topic", "public/1-99-"+strings.Repeat("x", 200), "data", "1")
		greedy[1].Want("1")
	})
}

// An Origin is kept for as long as a stream lives, so it must not be long.
func TestLongOrigin(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route(`cors_origins *`))
	origin := func(n int) string { return "https://" + strings.Repeat("x", n-len("https://")) }
	if c := s.Open("/events?userId=u1", "Origin", origin(512)); c.Status != http.StatusOK {
		t.Errorf("512 bytes: got %d", c.Status)
	}
	for _, method := range []string{"GET", "POST", "OPTIONS"} {
		a := s.Do(method, "/events?userId=u1", "", "Origin", origin(513), "Access-Control-Request-Method", "GET", "Accept", "text/event-stream")
		if a.Status != http.StatusForbidden || !strings.Contains(a.Body, "longer than 512 bytes") {
			t.Errorf("%s, 513 bytes: got %d %s", method, a.Status, a.Body)
		}
	}
}
