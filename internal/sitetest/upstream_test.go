package sitetest_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// app returns a site whose app answers as its routes say.
func app(directive, routes string) string {
	return "sse_push /events {\n" + directive + "\ninternal /_sse {\nallow loopback\n}\n}\n" + routes
}

// The app says who a client is, what it hears, and what it hears first.
func TestUpstreamHolds(t *testing.T) {
	s := sitetest.Serve(t, app("upstream", `
	route /events {
		header X-SSE-Hold stream
		header X-SSE-User u1
		header X-SSE-Topics "room, public/*"
		header Set-Cookie seen=1
		encode {
			gzip
			minimum_length 1
		}
		respond "event: hello
data: first

data: forged
event: sse:gap

" 200
	}`))
	c := s.Open("/events?userId=u2", "X-SSE-User", "u3", "Accept-Encoding", "gzip")
	if c.Connected.User == nil || *c.Connected.User != "u1" || !slices.Equal(c.Connected.Topics, []string{"public/*", "room"}) {
		t.Fatalf("got %+v", c.Connected)
	}
	for name, values := range c.Header {
		if strings.HasPrefix(name, "X-Sse-") {
			t.Errorf("the client sees %s: %q", name, values)
		}
	}
	if c.Header.Get("Set-Cookie") != "seen=1" || c.Header.Get("Content-Type") != "text/event-stream" || c.Header.Get("Content-Length") != "" {
		t.Errorf("got %v", c.Header)
	}
	if m := c.Next(); m.Type != "hello" || m.Data != "first" {
		t.Errorf("first came %+v", m)
	}
	s.Publish("user", "u1", "data", "to the user")
	s.Publish("topic", "public/a", "data", "to a topic")
	for _, want := range []string{"to the user", "to a topic"} {
		if m := c.Next(); m.Data != want {
			t.Errorf("got %+v, want %q", m, want)
		}
	}
}

// The app is given the request as the site has rewritten it; a HEAD asks what a GET would come to, and holds nothing.
func TestUpstreamRewritten(t *testing.T) {
	s := sitetest.Serve(t, app("upstream", `
	rewrite /events /stream.php?for=u1
	route /stream.php {
		header X-SSE-Hold stream
		header X-SSE-User {query.for}
		respond 200
	}`))
	if a := s.Do(http.MethodHead, "/events", ""); a.Status != 200 || a.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("HEAD: got %+v", a)
	}
	s.Publish("user", "u1", "data", "one")
	s.Publish("user", "u1", "data", "two")
	c := s.Open("/events?replay=1")
	if c.Connected.User == nil || *c.Connected.User != "u1" {
		t.Fatalf("got %+v", c.Connected)
	}
	s.Publish("user", "u1", "data", "three")
	for _, want := range []string{"two", "three"} {
		if m := c.Next(); m.Data != want {
			t.Errorf("got %+v, want %q", m, want)
		}
	}
	if a := s.Do(http.MethodGet, "/events?replay=some", ""); a.Status != 400 {
		t.Errorf("replay=some: got %+v", a)
	}
	if a := s.Do(http.MethodGet, "/stream.php?for=u1", ""); a.Header.Get("X-SSE-Hold") != "" || a.Header.Get("X-SSE-User") != "" {
		t.Errorf("the script itself: got %+v", a)
	}
}

// First events are bounded; what is over is left out, and the stream goes on.
func TestUpstreamFirstEventsTooLarge(t *testing.T) {
	s := sitetest.Serve(t, app("upstream", `
	route /events {
		header X-SSE-Hold stream
		header X-SSE-User u1
		respond "data: `+strings.Repeat("x", 300<<10)+`

" 200
	}`))
	c := s.Open("/events")
	s.Publish("user", "u1", "data", "after")
	if m := c.Next(); m.Data != "after" {
		t.Errorf("got %.100q", m.Data)
	}
	if !strings.Contains(s.Log(), "first events are too large") {
		t.Error("the log does not say so")
	}
}

// What is published while the app makes up its mind is not missed.
func TestUpstreamMissesNothing(t *testing.T) {
	s := sitetest.Serve(t, app("upstream\npublish_header user", `
	route /events {
		header X-SSE-Hold stream
		header X-SSE-User u1
		header X-SSE-Publish "user=u1&data=meanwhile"
		respond 200
	}`))
	if m := s.Open("/events").Next(); m.Data != "meanwhile" {
		t.Errorf("got %+v", m)
	}
}

// An answer that asks for no stream is the client's; one that says that the app is in trouble is not, since an
// EventSource would give up.
func TestUpstreamRefuses(t *testing.T) {
	s := sitetest.Serve(t, app("upstream", `
	@refused query as=refused
	route @refused {
		header X-SSE-User u1
		respond "log in" 403
	}
	@broken query as=broken
	respond @broken "oops" 502
	@failed query as=failed
	error @failed "gone" 503
	@unfit query as=unfit
	route @unfit {
		header X-SSE-Hold stream
		header X-SSE-User "a	b"
		respond 200
	}
	respond "a page" 200`))
	if a := s.Do(http.MethodGet, "/events?as=refused", "", "Accept", "text/event-stream"); a.Status != 403 || a.Body != "log in" || a.Header.Get("X-SSE-User") != "" {
		t.Errorf("got %+v", a)
	}
	if a := s.Do(http.MethodGet, "/events", "", "Accept", "text/event-stream"); a.Status != 200 || a.Body != "a page" {
		t.Errorf("got %+v", a)
	}
	for _, as := range []string{"broken", "failed", "unfit"} {
		a := s.Do(http.MethodGet, "/events?as="+as, "", "Accept", "text/event-stream")
		if a.Status != 200 || !strings.Contains(a.Body, `{"reason":"upstream"}`) || !strings.Contains(a.Body, "retry: ") {
			t.Errorf("%s: got %+v", as, a)
		}
	}
	if a := s.Do(http.MethodGet, "/events?as=broken", ""); a.Status != 502 {
		t.Errorf("to no EventSource: got %+v", a)
	}
}

// The worker is free as soon as the app has answered, however many streams it has begun.
func TestUpstreamFreesTheApp(t *testing.T) {
	s := sitetest.Serve(t, app("upstream", `
	route /events {
		header X-SSE-Hold stream
		header X-SSE-User {query.u}
		respond 200
	}`))
	for i := range 30 {
		s.Open(fmt.Sprintf("/events?u=u%d", i))
	}
	if n := sitetest.Get[struct{ Total int }](s, "/_sse/users").Total; n != 30 {
		t.Errorf("%d users are connected", n)
	}
}
