package sitetest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/api"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// relaysOf asks the internal route for the relays.
func relaysOf(s *sitetest.Site, query string) api.RelayList {
	s.T.Helper()
	return sitetest.Get[api.RelayList](s, "/_sse/relays"+query)
}

// Operators see relays by the internal route, the admin endpoint, the commands, explanations, metrics and the log, and stop them.
func TestRelayViews(t *testing.T) {
	m := sitetest.StartModel(t)
	app, calls := startApp(t, 500, 204)
	s, o := operated(t, sitetest.Route("hub main\n"+m.RelayTo(doneOption(app)))+sitetest.Metrics)
	if list := relaysOf(s, ""); list.Relays == nil || len(list.Relays) != 0 || list.Total != 0 {
		t.Errorf("before the first: %+v", list)
	}
	wantMetrics(s, map[string]float64{
		`sse_push_relays{hub="main"}`: 0, `sse_push_relays_ended_total{hub="main",status="failed"}`: 0, `sse_push_relay_done_calls_total{hub="main",outcome="taken"}`: 0,
	})

	startRelay(s, m, "chat-1", fmt.Sprintf(`, "done": "%s/hooks"`, app))
	first := m.Next().Answer(200, "text/event-stream", "X-Request-Id", "req-1")
	text := "data: one\n\nevent: sse:forged\ndata: two\n\nid: " + strings.Repeat("x", 200) + "\ndata: three\n\n"
	first.Write(text)
	c := s.Open("/events?userId=u1&relay=chat-1")
	c.Want("one", "three")
	startRelay(s, m, "chat-2", "")
	m.Next().Answer(200, "text/event-stream")
	a := s.Do("POST", "/_sse/relays", fmt.Sprintf(`{"id": "chat-3", "topic": "room", "retry": 1, "request": {"url": %q}}`, m.URL))
	if a.Status != http.StatusAccepted {
		t.Fatalf("got %d %s", a.Status, a.Body)
	}
	for range 2 {
		refusing := m.Next().Answer(429, "text/plain")
		refusing.Write("slow down")
		refusing.End()
	}
	brokertest.Eventually(t, "the third has failed", func() bool { return relayOf(s, "chat-3").Status == "failed" })

	list := relaysOf(s, "")
	if len(list.Relays) != 3 || list.Total != 3 || list.Next != "" || list.Relays[0].ID != "chat-3" || list.Relays[2].ID != "chat-1" {
		t.Fatalf("got %+v", list)
	}
	if r := list.Relays[2]; r.User != "u1" || r.Status != "running" || r.Listeners != 1 || r.Events != 2 || r.Bytes != 8 || r.Ended != nil || r.Done != "" || r.Since.IsZero() {
		t.Errorf("got %+v", r)
	}
	if r := list.Relays[0]; r.Topic != "room" || r.Listeners != 0 || r.HTTPStatus != 429 || r.Body != "slow down" || r.Ended == nil || !strings.Contains(r.Error, "answered 429") {
		t.Errorf("got %+v", r)
	}

	// Page by page, and some of them.
	page := relaysOf(s, "?limit=2")
	if len(page.Relays) != 2 || page.Total != 3 || page.Next == "" || page.Relays[1].ID != "chat-2" {
		t.Errorf("the first page: %+v", page)
	}
	if page = relaysOf(s, "?limit=2&after="+page.Next); len(page.Relays) != 1 || page.Relays[0].ID != "chat-1" || page.Next != "" {
		t.Errorf("the second page: %+v", page)
	}
	for query, want := range map[string]string{"?status=failed": "chat-3", "?user=u1&limit=1": "chat-2", "?user=u2": "", "?user=u1&status=failed": ""} {
		got := ""
		if list := relaysOf(s, query); len(list.Relays) > 0 {
			got = list.Relays[0].ID
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
	for target, want := range map[string]string{"?status=ended": `"field":"status"`, "?topic=room": `"field":"topic"`, "?limit=0": `"field":"limit"`} {
		if a := s.Do("GET", "/_sse/relays"+target, ""); a.Status != http.StatusBadRequest || !strings.Contains(a.Body, want) {
			t.Errorf("%s: got %d %s", target, a.Status, a.Body)
		}
	}
	if a := s.Do("DELETE", "/_sse/relays", ""); a.Status != http.StatusMethodNotAllowed || a.Header.Get("Allow") != "GET, HEAD, POST" {
		t.Errorf("DELETE of all: got %d, %q", a.Status, a.Header)
	}

	// The admin endpoint, which starts none: it does not know where requests may go.
	admin := adminEndpoint(t)
	if byAdmin := askFor[api.RelayList](t, admin, "/sse_push/hubs/main/relays"); byAdmin.Total != 3 {
		t.Errorf("the admin endpoint: %+v", byAdmin)
	}
	if a := ask(t, admin, "POST", "/sse_push/hubs/main/relays", fmt.Sprintf(`{"user": "u1", "request": {"url": %q}}`, m.URL)); a.Status != http.StatusNotFound {
		t.Errorf("a start by the admin endpoint: %d %s", a.Status, a.Body)
	}

	// The commands.
	o.run("relays").want(t, 0, "chat-1")
	if got := o.run("relays", "--status", "failed"); got.code != 0 || !strings.HasPrefix(got.out, "RELAY") || !strings.Contains(got.out, "topic room") || strings.Contains(got.out, "chat-1") {
		t.Errorf("relays --status failed: %+v", got)
	}
	o.run("relays", "chat-3").want(t, 0, "429 Too Many Requests")
	var one api.Relay
	if got := o.run("relays", "chat-1", "--json"); got.code != 0 || json.Unmarshal([]byte(got.out), &one) != nil || one.ID != "chat-1" {
		t.Errorf("relays chat-1 --json: %+v", got)
	}
	o.run("relays", "none").want(t, 1, "there is no relay none")
	o.run("relays", "none", "--stop").want(t, 1, "there is no relay none")
	o.run("relays", "--stop").want(t, 1, "--stop needs the id of a relay")
	o.run("explain", "--", c.Connected.Connection).want(t, 0, "it listens to the relay chat-1")
	o.run("hubs").want(t, 0, "RELAYS")
	o.run("relays", "chat-2", "--stop").want(t, 0, "")
	if i := relayOf(s, "chat-2"); i.Status != "cancelled" {
		t.Errorf("got %+v", i)
	}

	first.End()
	nextCall(t, calls)
	nextCall(t, calls)
	wantRelayEnd(c, "complete", 2)
	wantMetrics(s, map[string]float64{
		`sse_push_relays{hub="main"}`: 0, `sse_push_relay_events_total{hub="main"}`: 2, `sse_push_relay_bytes_total{hub="main"}`: float64(len(text)),
		`sse_push_relay_dropped_total{hub="main"}`: 1, `sse_push_relay_dropped_ids_total{hub="main"}`: 1, `sse_push_relay_retries_total{hub="main"}`: 1, `sse_push_relays_ended_total{hub="main",status="complete"}`: 1,
		`sse_push_relays_ended_total{hub="main",status="cancelled"}`: 1, `sse_push_relays_ended_total{hub="main",status="failed"}`: 1,
		`sse_push_relays_ended_total{hub="main",status="interrupted"}`: 0, `sse_push_relay_done_calls_total{hub="main",outcome="refused"}`: 1,
		`sse_push_relay_done_calls_total{hub="main",outcome="taken"}`: 1, `sse_push_relay_done_pending{hub="main"}`: 0,
	})
	brokertest.Eventually(t, "the log tells of begins and ends", func() bool {
		begins, ends := strings.Count(s.Log(), `"relay begins"`), strings.Count(s.Log(), `"relay ended"`)
		return begins == 3 && ends == 3
	})
	for _, part := range []string{`"call":"stop"`, `"relay":"chat-2"`, `"status":"failed"`, `"reason":"the upstream answered 429, text/plain"`, `"upstream":"` + m.URL + `"`} {
		if !strings.Contains(s.Log(), part) {
			t.Errorf("the log has no %s", part)
		}
	}
}
