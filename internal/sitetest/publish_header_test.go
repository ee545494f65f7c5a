package sitetest_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// Frameworks answer a form with a redirect: what it publishes counts, as does every answer that says it went well.
func TestPublishHeaderStatus(t *testing.T) {
	all := []int{200, 201, 202, 204, 206, 300, 301, 302, 303, 304, 307, 308, 400, 404, 422, 500, 503}
	for _, test := range []struct {
		block string
		count []int
	}{
		{"", []int{200, 201, 202, 204, 300, 301, 302, 303, 307, 308}},
		{"status 2xx", []int{200, 201, 202, 204}},
		{"status 3xx", []int{300, 301, 302, 303, 307, 308}},
		{"status 201 302 4xx", []int{201, 302, 400, 404, 422}},
	} {
		t.Run(test.block, func(t *testing.T) {
			routes := ""
			for _, status := range all {
				routes += fmt.Sprintf("@%d path /%d\nroute @%d {\nheader X-SSE-Publish user=u1&data=%d\nheader Location /\nrespond %d\n}\n",
					status, status, status, status, status)
			}
			s := sitetest.Serve(t, app("user query userId\npublish_header user {\n"+test.block+"\nsize 1KiB\n}", routes))
			s.HTTP.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			c := s.Open("/events?userId=u1")
			for _, status := range all {
				if a := s.Do(http.MethodPost, fmt.Sprint("/", status), ""); a.Status != status || a.Header.Get("X-SSE-Publish") != "" {
					t.Errorf("%d: got %+v", status, a)
				}
				if slices.Contains(test.count, status) {
					c.Want(fmt.Sprint(status)) // and none before it
				}
			}
			s.Publish("user", "u1", "data", "last")
			c.Want("last")
		})
	}
}

// A header of the app's answer publishes, and is not seen by the client; one that a client sends does nothing.
func TestPublishHeader(t *testing.T) {
	s := sitetest.Serve(t, app("user query userId\ntopics room\npublish_header user topic", `
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
	c := s.Open("/events?userId=u1&topic=room")
	for _, path := range []string{"/broadcast", "/failed", "/cached", "/junk", "/json"} {
		a := s.Do(http.MethodPost, path, "", "X-SSE-Publish", "user=u1&data=forged")
		if want := map[string]int{"/failed": 500}[path]; a.Status != max(want, 200) || a.Header.Get("X-SSE-Publish") != "" {
			t.Errorf("%s: got %+v", path, a)
		}
	}
	if m := c.Next(); m.Data != "one" {
		t.Errorf("got %+v", m)
	}
	if m := c.Next(); m.Type != "e" || m.Data != `{"n":2}` {
		t.Errorf("got %+v", m)
	}
	for _, name := range []string{"X-SSE-User", "x-sse-user", "X-SSE-Publish"} {
		if a := s.Do(http.MethodGet, "/echo", "", name, "mallory"); a.Body != "." {
			t.Errorf("%s reaches the app: %q", name, a.Body)
		}
	}
	for _, want := range []string{"X-SSE-Publish: an event was not published", "X-SSE-Publish cannot be read"} {
		if !strings.Contains(s.Log(), want) {
			t.Errorf("the log does not say %q", want)
		}
	}
	s.Publish("user", "u1", "data", "last")
	if m := c.Next(); m.Data != "last" {
		t.Errorf("got %+v", m)
	}
}
