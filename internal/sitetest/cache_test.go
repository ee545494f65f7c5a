package sitetest_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// An answer that was made for another request says nothing of this one: it publishes nothing, holds no stream, and names no
// user. The log says why.
func TestCachedAnswersAreNotBelieved(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-SSE-User", "u1")
		w.Header().Set("X-SSE-Hold", "stream")
		w.Header().Set("X-SSE-Publish", "user=u1&data="+url.QueryEscape(r.URL.Query().Get("case")))
		for name, values := range r.Header {
			if name, ok := strings.CutPrefix(name, "Give-"); ok {
				w.Header()[name] = values
			}
		}
		if r.Header.Get("Part") != "" {
			w.WriteHeader(http.StatusPartialContent)
		}
	}))
	t.Cleanup(server.Close)
	behind := "reverse_proxy " + strings.TrimPrefix(server.URL, "http://")
	sites := sitetest.ServeAll(t,
		app("hub a\nuser query userId\npublish_header user", behind),
		app("hub b\nupstream", behind),
		app("hub c\nuser authorize "+server.URL+` {
			headers Give-Age Give-X-Cache Give-Accept-Ranges Give-X-Varnish Give-Cache-Status Give-X-Drupal-Cache Give-X-Litespeed-Cache Give-X-Fastcgi-Cache-Status Give-X-Cache-Tags Id
		}`, ""))
	header, upstream, authorize := sites[0], sites[1], sites[2]
	c := header.Open("/events?userId=u1")
	for name, test := range map[string]struct {
		headers []string
		reason  string // why it does not count; "": it does
	}{
		"plain":                     {nil, ""},
		"Varnish, passed":           {[]string{"Give-Age", "0", "Give-X-Varnish", "32770"}, ""},
		"Varnish, fetched just now": {[]string{"Give-Age", "0", "Give-X-Varnish", "32770", "Give-Accept-Ranges", "bytes"}, ""},
		"Varnish, without its ids":  {[]string{"Give-Age", "0"}, ""},
		"no ranges":                 {[]string{"Give-Accept-Ranges", "none"}, ""},
		"a miss":                    {[]string{"Give-X-Cache", "MISS from squid", "Give-Cache-Status", "Caddy; fwd=miss; stored"}, ""},
		"tags of a cache":           {[]string{"Give-X-Cache-Tags", "hit"}, ""},

		"a page cache of PHP":    {[]string{"Give-X-Drupal-Cache", "HIT"}, "X-Drupal-Cache"},
		"a page cache of a host": {[]string{"Give-X-Litespeed-Cache", "hit,private"}, "X-Litespeed-Cache"},
		"a header of one's own":  {[]string{"Give-X-Fastcgi-Cache-Status", "STALE"}, "X-Fastcgi-Cache-Status"},
		"kept for 7 s":           {[]string{"Give-Age", "7"}, "Age"},
		"an unreadable age":      {[]string{"Give-Age", "x"}, "Age"},
		"two ages":               {[]string{"Give-Age", "0", "Give-Age", "7"}, "Age"},
		"Varnish, a hit at once": {[]string{"Give-Age", "0", "Give-X-Varnish", "32772 32770"}, "X-Varnish"},
		"a hit":                  {[]string{"Give-X-Cache", "HIT"}, "X-Cache"},
		"a hit behind a miss":    {[]string{"Give-X-Cache", "MISS, TCP_MEM_HIT"}, "X-Cache"},
		"a hit of CloudFront":    {[]string{"Give-X-Cache", "Hit from cloudfront"}, "X-Cache"},
		"a hit by the standard":  {[]string{"Give-Cache-Status", "Caddy; hit; ttl=5"}, "Cache-Status"},
		"a file":                 {[]string{"Give-Accept-Ranges", "bytes"}, "Accept-Ranges"},
	} {
		target := "?case=" + url.QueryEscape(name)
		header.Do(http.MethodPost, "/do"+target, "", test.headers...)
		if test.reason == "" {
			c.Want(name) // and nothing of what should not count before it
		}
		for route, s := range map[string]*sitetest.Site{"upstream": upstream, "authorize": authorize} {
			first := s.Stream(http.MethodGet, "/events"+target, "", append(test.headers, "Id", name, "Accept", sitetest.EventStream)...).Next()
			if test.reason == "" && (first.Type != "sse:connected" || !strings.Contains(first.Data, `"u1"`)) {
				t.Errorf("%s, %s: got %q", route, name, first)
			}
			if test.reason != "" && (first.Type != "sse:rejected" || first.Data != `{"reason":"`+route+`"}`) {
				t.Errorf("%s, %s: got %q", route, name, first)
			}
		}
		if test.reason != "" {
			for _, want := range []string{"X-SSE-Publish is ignored: " + test.reason, "X-SSE-Hold is ignored: " + test.reason, "the app did not write the answer for this request: " + test.reason} {
				if n := strings.Count(header.Log(), want+":") + strings.Count(header.Log(), want+" with two ids:"); n != 1 {
					t.Errorf("%s: the log says %q %d times", name, want, n)
				}
			}
		}
	}
	header.Do(http.MethodPost, "/do?case=a+part", "", "Part", "1")
	header.Publish("user", "u1", "data", "last")
	c.Want("last")
	if !strings.Contains(header.Log(), "X-SSE-Publish is ignored: 206") {
		t.Error("the log does not say that a part is ignored")
	}
}
