package ssepush_test

import (
	"net/http"
	"strings"
	"testing"
)

const (
	inside = "hub.internal" // what the proxy in front asks for
	page   = "https://page.example"
)

// inspectedEcho is echo with an inspector.
func inspectedEcho(t *testing.T, lines string) string {
	return echo(t, "inspector /_inspect {\ntoken \""+inspectorToken+"\"\n}\n"+lines)
}

// behind is what a request bears that came through a proxy which rewrites Host.
func behind(headers ...string) []string {
	return append(headers, "Host", inside, "Cookie", "id=u1", "Content-Type", formType, "X-SSE-Inspector", "1")
}

// A browser says which requests come from the site's own pages, where Host does not.
func TestHostRewrittenInFront(t *testing.T) {
	s := serve(t, inspectedEcho(t, ""))
	id := s.open("/events", "Cookie", "id=u1").connected.Connection
	for name, test := range map[string]struct {
		headers []string
		own     bool
	}{
		"its own page":               {[]string{"Origin", page, "Sec-Fetch-Site", "same-origin"}, true},
		"its own, without referrers": {[]string{"Origin", "null", "Sec-Fetch-Site", "same-origin"}, true},
		"another site":               {[]string{"Origin", page, "Sec-Fetch-Site", "cross-site"}, false},
		"another name of the site":   {[]string{"Origin", page, "Sec-Fetch-Site", "same-site"}, false},
		"no page":                    {[]string{"Origin", page, "Sec-Fetch-Site", "none"}, false},
		"an old browser":             {[]string{"Origin", page}, false},
		"both at once":               {[]string{"Origin", page, "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Site", "cross-site"}, false},
		"two origins":                {[]string{"Origin", page, "Origin", "https://evil.example", "Sec-Fetch-Site", "same-origin"}, false},
		"other case":                 {[]string{"Origin", page, "Sec-Fetch-Site", "Same-Origin"}, false},
		"an empty one":               {[]string{"Origin", page, "Sec-Fetch-Site", ""}, false},
	} {
		headers := behind(test.headers...)
		want := map[bool]int{true: 200, false: 403}[test.own]
		c := s.stream(http.MethodPost, "/events", "topic=room", append(headers, "Accept", eventStream)...)
		if c.status != want {
			t.Errorf("%s: subscribing: got %d", name, c.status)
		}
		c.close()
		if a := s.do(http.MethodPost, "/events/"+id, "hello", headers...); a.status != want {
			t.Errorf("%s: posting: got %d %s", name, a.status, a.body)
		}
		a := s.do(http.MethodPost, "/_inspect/session", `{"token": "`+inspectorToken+`"}`, headers...)
		if (a.status == http.StatusNoContent) != test.own || !test.own && a.status != http.StatusForbidden {
			t.Errorf("%s: signing in: got %d %s", name, a.status, a.body)
		}
		// What only this host's own tools may do stays closed.
		if a := s.do(http.MethodPost, "/_sse/publish", "user=u1&data=x", headers...); a.status != http.StatusNotFound {
			t.Errorf("%s: publishing: got %d %s", name, a.status, a.body)
		}
	}
}

// A stream of the site's own page outlives a reload that allows fewer pages of other sites; one of another's does not.
func TestHostRewrittenInFrontAndReload(t *testing.T) {
	wide, narrow := route("cors_origins https://page.example https://other.example"), route("")
	s := serve(t, narrow)
	open := func(headers ...string) *client {
		return s.stream(http.MethodPost, "/events", "userId=u1", append(behind(headers...), "Accept", eventStream)...).begin()
	}
	early := open("Origin", page, "Sec-Fetch-Site", "same-origin")
	if err := load([]*site{s}, wide); err != nil {
		t.Fatal(err)
	}
	s.reconnect()
	own := open("Origin", page, "Sec-Fetch-Site", "same-origin")
	foreign := open("Origin", "https://other.example", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors")
	if err := load([]*site{s}, narrow); err != nil {
		t.Fatal(err)
	}
	s.reconnect()
	for e := range foreign.events {
		if !strings.HasPrefix(e.Type, "sse:") && e.Data != "" {
			t.Fatalf("got %q", e.Message)
		}
	}
	s.publish("user", "u1", "data", "still here")
	early.want("still here")
	own.want("still here")
}
