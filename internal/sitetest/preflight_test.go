package sitetest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

const listedPage = "https://page.example"

func preflight(s *sitetest.Site, path, method string, headers ...string) sitetest.Answer {
	s.T.Helper()
	ask := []string{"Origin", listedPage, "Access-Control-Request-Method", method}
	if len(headers) > 0 {
		ask = append(ask, "Access-Control-Request-Headers", strings.ToLower(strings.Join(headers, ",")))
	}
	return s.Do(http.MethodOptions, path, "", ask...)
}

// A page of a listed origin may send the headers that the config itself asks clients for, and no others.
func TestPreflightAllowsConfiguredHeaders(t *testing.T) {
	s := sitetest.Serve(t, `sse_push /events {
		user ticket `+secretA+` {
			from header X-Ticket
			from query ticket
		}
		user jwt {
			jwks https://login.example/keys
			from header X-Token
			from cookie X-Cookie
		}
		user authorize /whoami {
			headers X-Api-Key X-Session
		}
		user header X-User
		user header X-Front-User from 127.0.0.1
		user {http.request.header.X-Checked-User}
		two_way
		cors_origins `+listedPage+`
	}
	respond "next"`)
	for name, allowed := range map[string]bool{
		"X-Ticket": true, "X-Token": true, "X-Api-Key": true, "X-Session": true, "X-User": true,
		"Last-Event-ID": true, "Cache-Control": true, "Content-Type": true, "Authorization": true,
		"X-Front-User": false, "X-Checked-User": false, "X-Cookie": false, "Ticket": false, "X-SSE-User": false, "X-Other": false,
	} {
		for path, method := range map[string]string{"/events": "GET", "/events/" + clientName: "POST"} {
			a := preflight(s, path, method, name)
			if got := a.Header.Get("Access-Control-Allow-Headers") != ""; a.Status != http.StatusNoContent || got != allowed {
				t.Errorf("%s %s: allowed: %v, want %v (%d)", path, name, got, allowed, a.Status)
			}
		}
	}
	if a := preflight(s, "/events", "QUERY", "Content-Type", "X-Api-Key", "X-User"); a.Header.Get("Access-Control-Allow-Headers") != "content-type,x-api-key,x-user" {
		t.Errorf("together: got %v", a.Header)
	}
}

// `*` is a header like any other, not all of them.
func TestPreflightOfAStar(t *testing.T) {
	s := sitetest.Serve(t, "sse_push /events {\nuser header *\ncors_origins "+listedPage+"\n}")
	if a := preflight(s, "/events", "GET", "X-Other"); a.Header.Get("Access-Control-Allow-Headers") != "" {
		t.Errorf("got %v", a.Header)
	}
}

// Who answers a request answers its preflight.
func TestPreflightsOfTheApp(t *testing.T) {
	s := sitetest.Serve(t, echo(t, "cors_origins "+listedPage))
	for _, c := range []struct {
		path, method string
		app          bool
	}{
		{"/events", "GET", false},
		{"/events", "POST", false},
		{"/events", "DELETE", false}, // 405, by the directive
		{"/events/" + clientName, "POST", false},
		{"/events/" + clientName, "PUT", true},
		{"/events/" + clientName, "GET", true},
		{"/events/" + clientName, "DELETE", true},
		{"/events/" + clientName, "post", true},
		{"/events/" + clientName + "/deeper", "POST", true},
		{"/events/", "POST", true},
		{"/other", "POST", true},
	} {
		a := preflight(s, c.path, c.method)
		if byApp := strings.HasPrefix(a.Body, "OPTIONS "+c.path); byApp != c.app {
			t.Errorf("%s %s: got %d %q", c.method, c.path, a.Status, a.Body)
		}
	}
}
