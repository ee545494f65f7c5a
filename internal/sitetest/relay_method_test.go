package sitetest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// A client with fetch may ask for a relay by any method that asks for a stream. Topics in its body are refused as in the URL.
func TestRelayByPost(t *testing.T) {
	m := sitetest.StartModel(t)
	s := sitetest.Serve(t, sitetest.Route(m.RelayTo("")))
	startRelay(s, m, "chat-1", "")
	q := m.Next()
	q.Answer(200, "text/event-stream")
	q.Tokens("a")
	q.End()
	const target = "/events?relay=chat-1"
	for _, method := range []string{http.MethodPost, "QUERY"} {
		c := s.Stream(method, target, "userId=u1", "Content-Type", sitetest.FormType, "Accept", sitetest.EventStream).Begin()
		c.Want("a")
		wantRelayEnd(c, "complete", 1)
		a := s.Do(method, target, "userId=u1&topic=room", "Content-Type", sitetest.FormType, "Accept", sitetest.EventStream)
		if a.Status != http.StatusUnprocessableEntity {
			t.Errorf("%s with a topic: %d %s", method, a.Status, a.Body)
		}
		if a := s.Do(method, target+"&plain=whole", "userId=u1", "Content-Type", sitetest.FormType); !strings.Contains(a.Body, "data: a\n") || a.Status != http.StatusOK {
			t.Errorf("%s of the answer itself: %d %q", method, a.Status, a.Body)
		}
	}
}
