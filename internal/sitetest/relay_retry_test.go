package sitetest_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// A request is sent again if the call asks for it: after answers that may be others the next time, and as often as it says.
func TestRelayRetry(t *testing.T) {
	m := sitetest.StartModel(t)
	s := sitetest.Serve(t, sitetest.Route(m.RelayTo("")))
	stream := func(q *sitetest.Request) { q.Answer(200, "text/event-stream").Tokens("a"); q.End() }
	refuse := func(status int, headers ...string) func(*sitetest.Request) {
		return func(q *sitetest.Request) { q.Answer(status, "text/plain", headers...).Write("away"); q.End() }
	}
	for i, c := range []struct {
		name    string
		retry   int
		answers []func(*sitetest.Request)
		status  string
		reason  string
	}{
		{"a good end", 2, []func(*sitetest.Request){refuse(503), refuse(429, "Retry-After", "1"), stream}, "complete", ""},
		{"no more", 1, []func(*sitetest.Request){refuse(500), refuse(502)}, "failed", "answered 502"},
		{"not asked for", 0, []func(*sitetest.Request){refuse(503)}, "failed", "answered 503"},
		{"longer than makes sense", 3, []func(*sitetest.Request){refuse(429, "Retry-After", "3600")}, "failed", "answered 429"},
		{"an answer that would be the same", 3, []func(*sitetest.Request){refuse(401)}, "failed", "answered 401"},
		{"an answer that has begun", 3, []func(*sitetest.Request){func(q *sitetest.Request) { q.Answer(200, "text/event-stream"); q.Break() }}, "failed", "EOF"},
		{"an answer that may have been made", 3, []func(*sitetest.Request){func(q *sitetest.Request) { q.Break() }}, "failed", "EOF"},
	} {
		id := fmt.Sprint("chat-", i)
		startRelay(s, m, id, fmt.Sprintf(`, "retry": %d`, c.retry))
		page := s.Open("/events?userId=u1&relay=" + id)
		events := uint64(0)
		for _, answer := range c.answers {
			q := m.Next()
			if q.Body != `{"stream":true}` || q.Header.Get("Authorization") != "Bearer key" {
				t.Errorf("%s: got %q, %q", c.name, q.Body, q.Header)
			}
			answer(q)
		}
		if c.status == "complete" {
			page.Want("a")
			events = 1
		}
		wantRelayEnd(page, c.status, events)
		attempts := len(c.answers)
		if attempts == 1 {
			attempts = 0
		}
		if info := relayOf(s, id); info.Attempts != attempts || !strings.Contains(info.Error, c.reason) || c.reason == "" && info.Error != "" {
			t.Errorf("%s: got %+v", c.name, info)
		}
	}
	if len(m.Requests) > 0 {
		t.Error("a request was sent once too often")
	}
	for _, retry := range []string{"-1", "6", "1.5", `"1"`, "true"} {
		if a := callRelay(s, m, "x", `, "retry": `+retry); a.Status != http.StatusBadRequest || sitetest.ProblemOf(t, a).Field != "retry" {
			t.Errorf("%s: got %d %s", retry, a.Status, a.Body)
		}
	}
}

// An upstream that cannot be reached is tried again, and a relay that waits for that can be stopped.
func TestRelayRetryOfAnUpstreamThatIsAway(t *testing.T) {
	away := fmt.Sprintf("http://127.0.0.1:%d", brokertest.Port(t))
	s := sitetest.Serve(t, sitetest.Route("relay {\nto "+away+" private\n}"))
	start := func(id string, retry int) {
		t.Helper()
		a := s.Do("POST", "/_sse/relays", fmt.Sprintf(`{"id": %q, "user": "u1", "retry": %d, "request": {"url": %q}}`, id, retry, away))
		if a.Status != http.StatusAccepted {
			t.Fatalf("got %d %s", a.Status, a.Body)
		}
	}
	start("given-up", 1)
	start("stopped", 5)
	wantRelayEnd(s.Open("/events?userId=u1&relay=given-up"), "failed", 0)
	if info := relayOf(s, "given-up"); info.Attempts != 2 || !strings.Contains(info.Error, "refused") {
		t.Errorf("got %+v", info)
	}
	if a := s.Do("DELETE", "/_sse/relays/stopped", ""); a.Status != http.StatusNoContent {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
	wantRelayEnd(s.Open("/events?userId=u1&relay=stopped"), "cancelled", 0)
}
