package ssepush_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// app is a site whose app behind answers as its routes say.
func app(directive, routes string) string {
	return "sse_push /events {\n" + directive + "\ninternal /_sse {\nallow loopback\n}\n}\n" + routes
}

// The app says who a client is, what it hears, and what it hears first.
func TestUpstreamHolds(t *testing.T) {
	s := serve(t, app("upstream", `
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
	c := s.open("/events?userId=u2", "X-SSE-User", "u3", "Accept-Encoding", "gzip")
	if c.connected.User == nil || *c.connected.User != "u1" || !slices.Equal(c.connected.Topics, []string{"public/*", "room"}) {
		t.Fatalf("got %+v", c.connected)
	}
	for name, values := range c.header {
		if strings.HasPrefix(name, "X-Sse-") {
			t.Errorf("the client sees %s: %q", name, values)
		}
	}
	if c.header.Get("Set-Cookie") != "seen=1" || c.header.Get("Content-Type") != "text/event-stream" || c.header.Get("Content-Length") != "" {
		t.Errorf("got %v", c.header)
	}
	if m := c.next(); m.Type != "hello" || m.Data != "first" {
		t.Errorf("first came %+v", m)
	}
	s.publish("user", "u1", "data", "to the user")
	s.publish("topic", "public/a", "data", "to a topic")
	for _, want := range []string{"to the user", "to a topic"} {
		if m := c.next(); m.Data != want {
			t.Errorf("got %+v, want %q", m, want)
		}
	}
}

// The app is given the request as the site has rewritten it; a HEAD asks what a GET would come to, and holds nothing.
func TestUpstreamRewritten(t *testing.T) {
	s := serve(t, app("upstream", `
	rewrite /events /stream.php?for=u1
	route /stream.php {
		header X-SSE-Hold stream
		header X-SSE-User {query.for}
		respond 200
	}`))
	if a := s.do(http.MethodHead, "/events", ""); a.status != 200 || a.header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("HEAD: got %+v", a)
	}
	s.publish("user", "u1", "data", "one")
	s.publish("user", "u1", "data", "two")
	c := s.open("/events?replay=1")
	if c.connected.User == nil || *c.connected.User != "u1" {
		t.Fatalf("got %+v", c.connected)
	}
	s.publish("user", "u1", "data", "three")
	for _, want := range []string{"two", "three"} {
		if m := c.next(); m.Data != want {
			t.Errorf("got %+v, want %q", m, want)
		}
	}
	if a := s.do(http.MethodGet, "/events?replay=some", ""); a.status != 400 {
		t.Errorf("replay=some: got %+v", a)
	}
	if a := s.do(http.MethodGet, "/stream.php?for=u1", ""); a.header.Get("X-SSE-Hold") != "" || a.header.Get("X-SSE-User") != "" {
		t.Errorf("the script itself: got %+v", a)
	}
}

// First events are bounded; what is over is left out, and the stream goes on.
func TestUpstreamFirstEventsTooLarge(t *testing.T) {
	s := serve(t, app("upstream", `
	route /events {
		header X-SSE-Hold stream
		header X-SSE-User u1
		respond "data: `+strings.Repeat("x", 300<<10)+`

" 200
	}`))
	c := s.open("/events")
	s.publish("user", "u1", "data", "after")
	if m := c.next(); m.Data != "after" {
		t.Errorf("got %.100q", m.Data)
	}
	if !strings.Contains(s.log(), "first events are too large") {
		t.Error("the log does not say so")
	}
}

// What is published while the app makes up its mind is not missed.
func TestUpstreamMissesNothing(t *testing.T) {
	s := serve(t, app("upstream\npublish_header user", `
	route /events {
		header X-SSE-Hold stream
		header X-SSE-User u1
		header X-SSE-Publish "user=u1&data=meanwhile"
		respond 200
	}`))
	if m := s.open("/events").next(); m.Data != "meanwhile" {
		t.Errorf("got %+v", m)
	}
}

// An answer that asks for no stream is the client's; one that says that the app is in trouble is not, since an
// EventSource would give up.
func TestUpstreamRefuses(t *testing.T) {
	s := serve(t, app("upstream", `
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
	if a := s.do(http.MethodGet, "/events?as=refused", "", "Accept", "text/event-stream"); a.status != 403 || a.body != "log in" || a.header.Get("X-SSE-User") != "" {
		t.Errorf("got %+v", a)
	}
	if a := s.do(http.MethodGet, "/events", "", "Accept", "text/event-stream"); a.status != 200 || a.body != "a page" {
		t.Errorf("got %+v", a)
	}
	for _, as := range []string{"broken", "failed", "unfit"} {
		a := s.do(http.MethodGet, "/events?as="+as, "", "Accept", "text/event-stream")
		if a.status != 200 || !strings.Contains(a.body, `{"reason":"upstream"}`) || !strings.Contains(a.body, "retry: ") {
			t.Errorf("%s: got %+v", as, a)
		}
	}
	if a := s.do(http.MethodGet, "/events?as=broken", ""); a.status != 502 {
		t.Errorf("to no EventSource: got %+v", a)
	}
}

// A header of the app's answer publishes, and is not seen by the client; one that a client sends does nothing.
func TestPublishHeader(t *testing.T) {
	s := serve(t, app("user query userId\ntopics room\npublish_header user topic", `
	@json path /json
	route @json {
		header X-SSE-Publish "[{\"user\": \"u1\", \"data\": \"one\"}, {\"topic\": \"room\", \"event\": \"e\", \"data\": {\"n\": 2}}]"
		respond "done" 200
	}
	@broadcast path /broadcast
	route @broadcast {
		header X-SSE-Publish "broadcast=1&data=all"
		respond 200
	}
	@failed path /failed
	route @failed {
		header X-SSE-Publish "user=u1&data=failed"
		respond 500
	}
	@cached path /cached
	route @cached {
		header X-SSE-Publish "user=u1&data=cached"
		header Age 7
		respond 200
	}
	@junk path /junk
	route @junk {
		header X-SSE-Publish "{nothing"
		respond 200
	}
	@echo path /echo
	respond @echo "{http.request.header.X-SSE-User}{http.request.header.X-SSE-Publish}." 200
	`))
	c := s.open("/events?userId=u1&topic=room")
	for _, path := range []string{"/broadcast", "/failed", "/cached", "/junk", "/json"} {
		a := s.do(http.MethodPost, path, "", "X-SSE-Publish", "user=u1&data=forged")
		if want := map[string]int{"/failed": 500}[path]; a.status != max(want, 200) || a.header.Get("X-SSE-Publish") != "" {
			t.Errorf("%s: got %+v", path, a)
		}
	}
	if m := c.next(); m.Data != "one" {
		t.Errorf("got %+v", m)
	}
	if m := c.next(); m.Type != "e" || m.Data != `{"n":2}` {
		t.Errorf("got %+v", m)
	}
	for _, name := range []string{"X-SSE-User", "x-sse-user", "X-SSE-Publish"} {
		if a := s.do(http.MethodGet, "/echo", "", name, "mallory"); a.body != "." {
			t.Errorf("%s reaches the app: %q", name, a.body)
		}
	}
	for _, want := range []string{"X-SSE-Publish: an event was not published", "X-SSE-Publish cannot be read"} {
		if !strings.Contains(s.log(), want) {
			t.Errorf("the log does not say %q", want)
		}
	}
	s.publish("user", "u1", "data", "last")
	if m := c.next(); m.Data != "last" {
		t.Errorf("got %+v", m)
	}
}

// The worker is free as soon as the app has answered, however many streams it has begun.
func TestUpstreamFreesTheApp(t *testing.T) {
	s := serve(t, app("upstream", `
	route /events {
		header X-SSE-Hold stream
		header X-SSE-User {query.u}
		respond 200
	}`))
	for i := range 30 {
		s.open(fmt.Sprintf("/events?u=u%d", i))
	}
	if n := get[struct{ Total int }](s, "/_sse/users").Total; n != 30 {
		t.Errorf("%d users are connected", n)
	}
}
