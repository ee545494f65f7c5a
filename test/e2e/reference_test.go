package e2e_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

// The big Caddyfile.
func TestReferenceSite(t *testing.T) {
	t.Parallel()
	s := the(t, "docs/reference/directive.md", "caddyfile", "forward_auth")
	site, internal := "localhost:"+harness.Port(t), "127.0.0.1:"+harness.Port(t)
	whoami, fpm := harness.StartPHP(t, 2, testdata(t, "php")), harness.StartFPM(t, 2)
	harness.StartCaddy(t, harness.Replace(t, s.String(), s.text, "localhost:8080", site, "127.0.0.1:9090", internal,
		"localhost:9001", whoami, "localhost:9000", fpm.Address, "root * public", "root * "+testdata(t, "php")))

	const page = "https://app.example.com"
	ann := harness.Open(t, "http://"+site+"/events?topic=public/*&topic=user/ann/*", "Cookie", "session=ann-session", "X-User-ID", "ben", "Origin", page)
	if who := ann.Connected().User; who == nil || *who != "ann" {
		t.Errorf("ann is %v", who)
	}
	if got := ann.Header().Get("Access-Control-Allow-Origin"); got != page {
		t.Errorf("Access-Control-Allow-Origin is %q, want %q", got, page)
	}
	route := harness.Route{URL: "http://" + internal + "/_sse"}
	for _, target := range []harness.Event{{"user": "ann"}, {"topic": "public/news"}, {"topic": "user/ann/orders"}} {
		target["data"] = fmt.Sprint(target)
		route.Publish(t, target)
		ann.Expect(target["data"].(string))
	}
	if status, _, _ := harness.Fetch(t, "http://"+site+"/events?topic=user/ben/*", "Cookie", "session=ann-session"); status != 403 {
		t.Errorf("ann asks for what is ben's: status %d, want 403", status)
	}
	checkPage(t, "http://"+site+"/any/page", "app GET /any/page")

	// The app that knows the users refuses an ended session. Its login page must not be refused along with the stream.
	ended := []string{"Cookie", "session=ended"}
	if status, body, _ := harness.Fetch(t, "http://"+site+"/login", ended...); status != 200 || !strings.Contains(body, "app GET /login") {
		t.Errorf("the login page with an ended session: status %d, %.200q", status, body)
	}
	if status, _, _ := harness.Fetch(t, "http://"+site+"/events", ended...); status != 401 {
		t.Errorf("a stream with an ended session: status %d, want 401", status)
	}
}

// A batch, published to the README's first Caddyfile.
func TestReferencePublish(t *testing.T) {
	t.Parallel()
	address, pair := quickStart(t)
	u1 := harness.Open(t, "http://"+address+"/events?userId=u1")
	u1.Connected()
	s := the(t, "docs/reference/http-api.md", "sh", "/_sse/publish")
	out := s.run(t, pair...)
	var answer []struct{ ID string }
	if err := json.Unmarshal([]byte(out), &answer); err != nil || len(answer) != 3 {
		t.Fatalf("%v printed %q, want three ids", s, out)
	}
	for i, a := range answer {
		if a.ID == "" {
			t.Errorf("%v: item %d has no id: %s", s, i, out)
		}
	}
	u1.Expect("two\nlines", "to all")
}

// Every example of the README, of the directive and of what its routes do is run by a test as well; the table says by which.
func TestExamplesAreRun(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"In a minute: caddyfile": "TestReadmeQuickStart", "In a minute: html": "TestReadmeQuickStart",
		"In a minute: sh": "TestReadmeQuickStart", "In a minute: php": "TestReadmeQuickStart",
		"Install: sh":              "TestReadmeBuild",
		"The directive: caddyfile": "TestReferenceSite", "Over HTTPS: caddyfile": "TestReferenceHTTPS",
		"`authorize`: caddyfile": "TestExampleOfAuthorize", "`authorize`: php": "TestExampleOfAuthorize",
		"`ticket`: caddyfile": "TestExampleOfTicket", "`ticket`: php": "TestExampleOfTicket", "`jwt`: caddyfile": "TestExampleOfJWT",
		"When a grant ends: js": "TestExampleOfRenewal", "Out of the access log: caddyfile": "TestExampleOfAccessLog",
		"Publish: sh":       "TestReferencePublish",
		"Relays: caddyfile": "TestReferenceRelays", "Calls: sh": "TestReferenceRelays", "What a page hears: js": "TestReferenceRelays", "The answer itself: js": "TestTransportOfTheDocs",
		"Sources: caddyfile": "TestReferenceSources", "What an operator sees: sh": "TestReferenceSources",
		"One stream for all tabs: js": "TestTabsShareOneStream",
		// These two say how something is switched on, and nothing is to be seen of it.
		"The inspector: caddyfile": "TestSnippetsAreValid", "Traces: caddyfile": "TestSnippetsAreValid",
	}
	for _, document := range []string{"README.md", "docs/reference/directive.md", "docs/reference/events.md", "docs/reference/http-api.md", "docs/reference/metrics.md",
		"docs/reference/relays.md", "docs/reference/sources.md"} {
		for _, s := range snippets(t, document) {
			if name := s.section + ": " + s.kind; s.kind != "" && tests[name] == "" {
				t.Errorf("%v: no test runs this: %s", s, name)
			}
		}
	}
}
