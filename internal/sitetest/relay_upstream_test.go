package sitetest_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// The app that decides about streams decides about those of relays, too: it says who the client is, and by its topics which relays
// the client may hear. The stream hears nothing but the relay.
func TestRelayThatTheAppDecidesAbout(t *testing.T) {
	m := sitetest.StartModel(t)
	app := sitetest.StartModel(t)
	s := sitetest.Serve(t, `sse_push /events {
		upstream
		internal /_sse {
			allow loopback
		}
		`+m.RelayTo("")+`
	}
	reverse_proxy `+strings.TrimPrefix(app.URL, "http://"))
	startRelay(s, m, "mine", "")
	mine := m.Next().Answer(200, "text/event-stream")
	if a := s.Do("POST", "/_sse/relays", fmt.Sprintf(`{"id": "ours", "topic": "room", "request": {"url": %q}}`, m.URL)); a.Status != http.StatusAccepted {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	ours := m.Next().Answer(200, "text/event-stream")
	ask := func(relay string, status int, headers ...string) *sitetest.Client {
		t.Helper()
		got := make(chan *sitetest.Client, 1)
		go func() {
			c, err := s.TryStream(sitetest.Limit, "GET", "/events?relay="+relay+"&topic=forged", "", "Accept", sitetest.EventStream)
			if err != nil {
				t.Error(err)
			}
			got <- c
		}()
		q := app.Next()
		if q.URL.Query().Get("relay") != relay {
			t.Errorf("the app was asked for %s", q.URL)
		}
		q.Answer(status, "text/event-stream", headers...).Write("data: first\n\n")
		q.End()
		c := <-got
		if c == nil {
			t.FailNow()
		}
		return c
	}
	mine.Tokens("a")
	ours.Tokens("b")
	c := ask("mine", 200, "X-SSE-Hold", "stream", "X-SSE-User", "u1", "X-SSE-Topics", "room").Begin()
	s.Publish("topic", "room", "data", "not of the relay")
	c.Want("a")
	d := ask("ours", 200, "X-SSE-Hold", "stream", "X-SSE-User", "u2", "X-SSE-Topics", "room").Begin()
	d.Want("b")
	mine.Tokens("c")
	c.Want("c")
	mine.End()
	wantRelayEnd(c, "complete", 2)
	if c := ask("ours", 200, "X-SSE-Hold", "stream", "X-SSE-User", "u2"); c.Status != http.StatusNoContent {
		t.Errorf("without the topic: got %d", c.Status)
	}
	if c := ask("mine", 200, "X-SSE-Hold", "stream", "X-SSE-User", "u2", "X-SSE-Topics", "mine"); c.Status != http.StatusNoContent {
		t.Errorf("as another user: got %d", c.Status)
	}
	if c := ask("mine", http.StatusForbidden); c.Status != http.StatusForbidden {
		t.Errorf("the app refuses, and the client gets %d", c.Status)
	}
	if a := s.Do("GET", "/_sse/relays/mine", ""); a.Status != http.StatusOK {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
	plain := fetchPlain(s, "mine", "plain=whole")
	q := app.Next()
	q.Answer(200, "text/plain", "X-SSE-Hold", "stream", "X-SSE-User", "u1").End()
	if a := <-plain; a.body != "data: a\n\ndata: c\n\n" || a.cut != nil || a.header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("got %d %v, %v: %q", a.status, a.header, a.cut, a.body)
	}
}
