package sitetest_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// A relay that is stopped stops its upstream.
func TestRelayStop(t *testing.T) {
	m := sitetest.StartModel(t)
	s := sitetest.Serve(t, sitetest.Route(m.RelayTo("")))
	startRelay(s, m, "chat", "")
	q := m.Next().Answer(200, "text/event-stream")
	c := s.Open("/events?userId=u1&relay=chat")
	q.Tokens("a")
	c.Want("a")
	for range 2 {
		if a := s.Do("DELETE", "/_sse/relays/chat", ""); a.Status != http.StatusNoContent {
			t.Errorf("got %d %s", a.Status, a.Body)
		}
	}
	wantRelayEnd(c, "cancelled", 1)
	brokertest.Eventually(t, "the upstream is closed", func() bool { return m.Gone.Load() == 1 })
	if a := s.Do("DELETE", "/_sse/relays/none", ""); a.Status != http.StatusNotFound {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
}

// The relays of a user end with the streams of the user, such as at a logout. Those of others go on, and so do all if only topics are
// given or taken.
func TestRelayOfAUserThatLogsOut(t *testing.T) {
	m := sitetest.StartModel(t)
	s := sitetest.Serve(t, sitetest.Route(m.RelayTo("")))
	requests := map[string]*sitetest.Request{}
	for id, audience := range map[string]string{"mine": `"user": "u1"`, "others": `"user": "u2"`, "room": `"topic": "room"`} {
		a := s.Do("POST", "/_sse/relays", fmt.Sprintf(`{"id": %q, %s, "request": {"url": "%s/%s"}}`, id, audience, m.URL, id))
		if a.Status != http.StatusAccepted {
			t.Fatalf("got %d %s", a.Status, a.Body)
		}
		requests[id] = m.Next().Answer(200, "text/event-stream")
	}
	if a := s.Do("POST", "/_sse/users/u1/topics", `{"topics": ["more"]}`, "Content-Type", "application/json"); a.Status/100 != 2 {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
	requests["mine"].Tokens("a")
	brokertest.Eventually(t, "it goes on", func() bool { return relayOf(s, "mine").Events == 1 })
	if a := s.Do("DELETE", "/_sse/users/u1", ""); a.Status != http.StatusNoContent {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
	brokertest.Eventually(t, "it has ended", func() bool { return relayOf(s, "mine").Status == "cancelled" && m.Gone.Load() == 1 })
	if i := relayOf(s, "mine"); i.Error != "the user's streams were ended" || i.Events != 1 {
		t.Errorf("got %+v", i)
	}
	for _, id := range []string{"others", "room"} {
		requests[id].End()
		brokertest.Eventually(t, "it is complete", func() bool { return relayOf(s, id).Status == "complete" })
	}
}
