package ssepush_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
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

// A stream that a page elsewhere opens as an image takes no seat of the user's, and nobody is asked about it.
func TestEmbeddedStreams(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("X-SSE-User", "u1")
		w.Header().Set("X-SSE-Hold", "stream")
	}))
	t.Cleanup(server.Close)
	const limits = "\nlimits {\nper_user 2\nrate 50\n}\ncors_origins *"
	for name, directive := range map[string]string{"authorize": "user authorize " + server.URL + limits, "upstream": "upstream" + limits} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, app(directive, "reverse_proxy "+strings.TrimPrefix(server.URL, "http://")))
			try := func(method string, headers ...string) answer {
				return s.do(method, "/events", "", append(headers, "Cookie", "id=u1", "Accept", eventStream)...)
			}
			for _, where := range []string{"cross-site", "same-site"} {
				for _, mode := range []string{"no-cors", "navigate", "nested-navigate", "websocket", "same-origin", "", "CORS"} {
					for range 5 {
						if a := try(http.MethodGet, "Sec-Fetch-Site", where, "Sec-Fetch-Mode", mode); a.status != http.StatusForbidden || !strings.Contains(a.body, "Sec-Fetch-Mode") {
							t.Errorf("%s %s: got %d %s", where, mode, a.status, a.body)
						}
					}
				}
				for _, headers := range [][]string{
					{"Sec-Fetch-Site", where}, {"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Site", where, "Sec-Fetch-Mode", "no-cors"},
					{"Sec-Fetch-Site", where, "Sec-Fetch-Mode", "cors", "Sec-Fetch-Mode", "no-cors"},
					{"Sec-Fetch-Site", where, "Sec-Fetch-Mode", "navigate", "Origin", "https://evil.example"}, // a form
				} {
					for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
						if a := try(method, headers...); a.status != http.StatusForbidden {
							t.Errorf("%s %q: got %d %s", method, headers, a.status, a.body)
						}
					}
				}
			}
			if n := asked.Swap(0); n > 0 {
				t.Errorf("the app was asked %d times", n)
			}
			// Whatever a user does, and a page that may, is let in; at most two at once.
			for _, headers := range [][]string{
				{}, {"Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate"}, {"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate"},
				{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors"}, {"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "no-cors"},
				{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors", "Origin", page},
			} {
				c := s.open("/events", append(headers, "Cookie", "id=u1")...)
				if c.connected.User == nil || *c.connected.User != "u1" {
					t.Errorf("%q: got %+v", headers, c.connected)
				}
				c.close()
				waitFor(t, "the client has left", func() bool { return s.connections() == 0 })
			}
			asked.Store(0)
		})
	}
}
