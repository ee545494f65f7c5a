package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/test/harness"
	"github.com/sse-push/caddy-sse-push/test/modelapi"
)

// relayNode starts a node that fetches from a model API for its app, on a broker.
func relayNode(t *testing.T, broker, api, app string) (c *harness.Caddy, site string) {
	t.Helper()
	site = "http://localhost:" + harness.Port(t)
	return harness.StartCaddy(t, site+` {
	sse_push /events {
		user query userId
		internal /_sse {
			allow loopback
		}
		relay {
			to `+api+` private
			done `+app+`
			secret a-secret-of-thirty-two-bytes-or-more
		}
		broker `+broker+`
	}
}
`), site
}

// relayEnd takes tokens until the end of a relay, and returns the status, and how many events came before it.
func relayEnd(s *harness.Stream) (status string, events int) {
	for ; ; events++ {
		m := s.NextAny()
		switch m.Type {
		case "sse:end":
			var end struct{ Status string }
			_ = json.Unmarshal([]byte(m.Data), &end)
			return end.Status, events
		case "sse:connected":
			events--
		}
	}
}

// The examples of the reference: the site, the call that starts a relay, and the page that hears it.
func TestReferenceRelays(t *testing.T) {
	t.Parallel()
	const page, tokens, secret = "docs/reference/relays.md", 20, "a-secret-of-thirty-two-bytes-or-more"
	api := modelapi.Start(t, modelapi.Answer{Tokens: tokens})
	done := make(chan string, 1)
	app := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { done <- r.URL.Path }))
	t.Cleanup(app.Close)
	listen, site := the(t, page, "js", "push.relay("), the(t, page, "caddyfile", "relay {")
	dir, address := harness.Dir(t), "localhost:"+harness.Port(t)
	for _, name := range []string{"sse-push.js", "share.js"} {
		harness.WriteFile(t, dir, name, harness.File(t, "clients/js/"+name))
	}
	harness.WriteFile(t, dir, "page.html", `<!doctype html><title>page</title><script type="module">`+listen.text+`</script><body></body>`)
	harness.StartCaddy(t, harness.Replace(t, site.String(), site.text, "localhost:8080 {", address+" {\n\troot "+dir+"\n\tfile_server",
		"user ticket {env.SSE_PUSH_TICKET_SECRET}", "anonymous\n\t\ttopics answers", "https://api.openai.com {", api.URL+" private {", "http://app.internal", app.URL),
		"SSE_PUSH_TOKEN="+secret, "SSE_PUSH_RELAY_SECRET="+secret, "OPENAI_KEY=key")
	out := the(t, page, "sh", "/_sse/relays").run(t, "$SSE_PUSH_TOKEN", secret, "localhost:8080", address, `"user": "u1"`, `"topic": "answers"`,
		"http://app.internal", app.URL, "https://api.openai.com", api.URL)
	if !strings.Contains(out, `"chat-7-42"`) {
		t.Errorf("the call is answered by %q", out)
	}
	tab := harness.OpenTab(t, "http://"+address+"/page.html")
	brokertest.Eventually(t, "the page says how the answer has ended", func() bool { return strings.Contains(strings.Join(tab.Console(), "\n"), "complete") })
	if got := harness.Eval[string](tab, `document.body.textContent`); got != modelapi.Text(tokens) {
		t.Errorf("the page shows %q", got)
	}
	if path := <-done; path != "/chat/done" {
		t.Errorf("the app is told at %s", path)
	}
}

// Two nodes on an engine. A page of one node hears what the other fetches, and stops it. When the node that fetches is killed, the
// page is told within ten seconds, and so is the app, by the other.
func TestRelaysOfTwoNodes(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(t testing.TB, dir, port string) *harness.Process{"redis": harness.StartRedis, "nats": harness.StartNATS} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			port := harness.Port(t)
			start(t, harness.Dir(t), port)
			testRelaysOfTwoNodes(t, fmt.Sprintf("%s %s://127.0.0.1:%s", name, name, port))
		})
	}
}

func testRelaysOfTwoNodes(t *testing.T, broker string) {
	api := modelapi.Start(t, modelapi.Answer{Tokens: 100_000, Rate: 20})
	done := make(chan string, 100)
	app := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var body struct {
			ID, Status string
			Events     []struct{ Data string }
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		done <- fmt.Sprintf("%s %s %s %t", r.Header.Get("Idempotency-Key"), body.ID, body.Status, len(body.Events) > 5)
	}))
	t.Cleanup(app.Close)
	nodeA, a := relayNode(t, broker, api.URL, app.URL)
	_, b := relayNode(t, broker, api.URL, app.URL)
	start := func(site, id string) {
		t.Helper()
		status := harness.Route{URL: site + "/_sse"}.Call(t, http.MethodPost, "/relays", map[string]any{
			"id": id, "user": "u1", "done": app.URL + "/done", "request": map[string]any{"url": api.URL + "/v1/chat/completions", "body": map[string]any{"stream": true}},
		}, nil)
		if status != http.StatusAccepted {
			t.Fatalf("starting %s: %d", id, status)
		}
	}
	next := func(want string) {
		t.Helper()
		select {
		case got := <-done:
			if got != want {
				t.Errorf("the app was told %q, want %q", got, want)
			}
		case <-time.After(harness.Patience):
			t.Fatalf("the app was not told %q", want)
		}
	}

	start(a, "stopped")
	start(b, "stopped") // the same relay
	page := harness.Open(t, b+"/events?userId=u1&relay=stopped")
	page.Connected()
	for range 10 {
		if m := page.Next(); !strings.Contains(m.Data, "chat.completion.chunk") {
			t.Fatalf("got %q", m)
		}
	}
	if status := (harness.Route{URL: b + "/_sse"}).Call(t, http.MethodDelete, "/relays/stopped", nil, nil); status != http.StatusNoContent {
		t.Errorf("stopping: %d", status)
	}
	if status, _ := relayEnd(page); status != "cancelled" {
		t.Errorf("the page was told %s", status)
	}
	next("relay/stopped stopped cancelled true")
	harness.EventuallyEqual(t, "answers under way", 0, func() int { return api.Counts().Open })
	if n := api.Counts().Requests; n != 1 {
		t.Errorf("the model was asked %d times", n)
	}

	start(a, "killed")
	page = harness.Open(t, b+"/events?userId=u1&relay=killed")
	page.Connected()
	for range 10 {
		page.Next()
	}
	begun := time.Now()
	nodeA.Signal(syscall.SIGKILL)
	status, _ := relayEnd(page)
	took := time.Since(begun)
	if status != "interrupted" || took > 10*time.Second {
		t.Errorf("the page was told %s after %s", status, took)
	}
	t.Logf("told after %s", took)
	next("relay/killed killed interrupted true")
	late := harness.Open(t, b+"/events?userId=u1&relay=killed")
	if status, events := relayEnd(late); status != "interrupted" || events < 10 {
		t.Errorf("a page that comes later gets %d events and %s", events, status)
	}
}
