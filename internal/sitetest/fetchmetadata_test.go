package sitetest_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

const (
	inside = "hub.internal" // what the proxy in front asks for
	page   = "https://page.example"
)

// inspectedEcho is echo with an inspector.
func inspectedEcho(t *testing.T, lines string) string {
	return echo(t, "inspector /_inspect {\ntoken \""+inspectorToken+"\"\n}\n"+lines)
}

// behind returns the headers of a request through a proxy that rewrites Host.
func behind(headers ...string) []string {
	return append(headers, "Host", inside, "Cookie", "id=u1", "Content-Type", sitetest.FormType, "X-SSE-Inspector", "1")
}

// A browser says which requests come from the site's own pages, where Host does not.
func TestHostRewrittenInFront(t *testing.T) {
	s := sitetest.Serve(t, inspectedEcho(t, ""))
	id := s.Open("/events", "Cookie", "id=u1").Connected.Connection
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
		c := s.Stream(http.MethodPost, "/events", "topic=room", append(headers, "Accept", sitetest.EventStream)...)
		if c.Status != want {
			t.Errorf("%s: subscribing: got %d", name, c.Status)
		}
		c.Close()
		if a := s.Do(http.MethodPost, "/events/"+id, "hello", headers...); a.Status != want {
			t.Errorf("%s: posting: got %d %s", name, a.Status, a.Body)
		}
		a := s.Do(http.MethodPost, "/_inspect/session", `{"token": "`+inspectorToken+`"}`, headers...)
		if (a.Status == http.StatusNoContent) != test.own || !test.own && a.Status != http.StatusForbidden {
			t.Errorf("%s: signing in: got %d %s", name, a.Status, a.Body)
		}
		// What only this host's own tools may do stays closed.
		if a := s.Do(http.MethodPost, "/_sse/publish", "user=u1&data=x", headers...); a.Status != http.StatusNotFound {
			t.Errorf("%s: publishing: got %d %s", name, a.Status, a.Body)
		}
	}
}

// A stream of the site's own page outlives a reload that allows fewer pages of other sites; one of another's does not.
func TestHostRewrittenInFrontAndReload(t *testing.T) {
	wide, narrow := sitetest.Route("cors_origins https://page.example https://other.example"), sitetest.Route("")
	s := sitetest.Serve(t, narrow)
	open := func(headers ...string) *sitetest.Client {
		return s.Stream(http.MethodPost, "/events", "userId=u1", append(behind(headers...), "Accept", sitetest.EventStream)...).Begin()
	}
	early := open("Origin", page, "Sec-Fetch-Site", "same-origin")
	if err := sitetest.Load([]*sitetest.Site{s}, wide); err != nil {
		t.Fatal(err)
	}
	s.Reconnect()
	own := open("Origin", page, "Sec-Fetch-Site", "same-origin")
	foreign := open("Origin", "https://other.example", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors")
	if err := sitetest.Load([]*sitetest.Site{s}, narrow); err != nil {
		t.Fatal(err)
	}
	s.Reconnect()
	for e := range foreign.Events {
		if !strings.HasPrefix(e.Type, "sse:") && e.Data != "" {
			t.Fatalf("got %q", e.Message)
		}
	}
	s.Publish("user", "u1", "data", "still here")
	early.Want("still here")
	own.Want("still here")
}

// A stream that another site's page opens as an image does not count for the user, and the app is not asked about it.
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
			s := sitetest.Serve(t, app(directive, "reverse_proxy "+strings.TrimPrefix(server.URL, "http://")))
			try := func(method string, headers ...string) sitetest.Answer {
				return s.Do(method, "/events", "", append(headers, "Cookie", "id=u1", "Accept", sitetest.EventStream)...)
			}
			for _, where := range []string{"cross-site", "same-site"} {
				for _, mode := range []string{"no-cors", "navigate", "nested-navigate", "websocket", "same-origin", "", "CORS"} {
					for range 5 {
						if a := try(http.MethodGet, "Sec-Fetch-Site", where, "Sec-Fetch-Mode", mode); a.Status != http.StatusForbidden || !strings.Contains(a.Body, "Sec-Fetch-Mode") {
							t.Errorf("%s %s: got %d %s", where, mode, a.Status, a.Body)
						}
					}
				}
				for _, headers := range [][]string{
					{"Sec-Fetch-Site", where}, {"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Site", where, "Sec-Fetch-Mode", "no-cors"},
					{"Sec-Fetch-Site", where, "Sec-Fetch-Mode", "cors", "Sec-Fetch-Mode", "no-cors"},
					{"Sec-Fetch-Site", where, "Sec-Fetch-Mode", "navigate", "Origin", "https://evil.example"}, // a form
				} {
					for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
						if a := try(method, headers...); a.Status != http.StatusForbidden {
							t.Errorf("%s %q: got %d %s", method, headers, a.Status, a.Body)
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
				c := s.Open("/events", append(headers, "Cookie", "id=u1")...)
				if c.Connected.User == nil || *c.Connected.User != "u1" {
					t.Errorf("%q: got %+v", headers, c.Connected)
				}
				c.Close()
				brokertest.Eventually(t, "the client has left", func() bool { return s.CountConnections() == 0 })
			}
			asked.Store(0)
		})
	}
}
