package sitetest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// whoami returns the lines for an app that tells a client's user by the cookie id, and how often it was asked.
func whoami(t *testing.T) (site string, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Set-Cookie", "id=another")
		c, err := r.Cookie("id")
		if err != nil || c.Value == "" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.Header.Get("X-SSE-User") != "" {
			t.Error("the app got an instruction of the client's")
		}
		w.Header().Set("X-SSE-User", c.Value)
		w.Header().Set("X-SSE-Topics", "extra/"+c.Value)
		if c.Value == "short" {
			w.Header().Set("X-SSE-Expires", "2")
		}
		fmt.Fprint(w, "a page")
	}))
	t.Cleanup(app.Close)
	return "reverse_proxy /whoami " + strings.TrimPrefix(app.URL, "http://"), asked
}

func TestAuthorizeLetsIn(t *testing.T) {
	questions := map[sitetest.Protocol]*atomic.Int64{}
	sitetest.ServeOver(t, "", sitetest.Protocols, func(p sitetest.Protocol) string {
		behind, asked := whoami(t)
		questions[p] = asked
		return p.TLS + "encode\nlog\n" + trusting("hub "+p.Name+"\nuser authorize /whoami") + behind
	}, func(t *testing.T, s *sitetest.Site, p sitetest.Protocol) {
		asked := questions[p]
		c := s.Open("/events?topic=extra/u1&topic=user/u1/x", "Cookie", "id=u1", "X-SSE-User", "admin")
		if c.Connected.User == nil || *c.Connected.User != "u1" || c.Header.Get("Set-Cookie") != "" {
			t.Errorf("got %+v, %v", c.Connected, c.Header)
		}
		again := s.Open("/events?topic=extra/u1&topic=user/u1/x", "Cookie", "id=u1", "Last-Event-ID", c.LastID)
		s.Publish("topic", "extra/u1", "data", "1")
		c.Want("1")
		again.Want("1")
		if n := asked.Load(); n != 1 {
			t.Errorf("asked %d times", n)
		}
		if a := s.Do(http.MethodGet, "/events", "", "Cookie", "other=1", "Accept", sitetest.EventStream); a.Status != http.StatusUnauthorized || a.Header.Get("Set-Cookie") != "" {
			t.Errorf("refused: got %d %v", a.Status, a.Header)
		}
		if a := s.Do(http.MethodGet, "/events?topic=extra/u2", "", "Cookie", "id=u1", "Accept", sitetest.EventStream); a.Status != http.StatusForbidden {
			t.Errorf("a topic of another: got %d", a.Status)
		}
		n := asked.Load()
		if a := s.Do(http.MethodGet, "/events", "", "Accept", sitetest.EventStream); a.Status != http.StatusUnauthorized || asked.Load() != n {
			t.Errorf("nothing to show: got %d, asked %d times more", a.Status, asked.Load()-n)
		}
		short := s.Open("/events", "Cookie", "id=short")
		if m := short.Next(); m.Type != "sse:expiring" {
			t.Errorf("got %q", m)
		}
		short.WantClosing("expired")
	})
}

// After a disconnect the app is asked again about the user.
func TestDisconnectPurges(t *testing.T) {
	behind, asked := whoami(t)
	s := sitetest.Serve(t, trusting("user authorize /whoami {\nttl 5m\n}")+behind)
	first := s.Open("/events", "Cookie", "id=u1")
	other := s.Open("/events", "Cookie", "id=u2")
	if a := s.Do(http.MethodDelete, "/_sse/connections/"+first.Connected.Connection, ""); a.Status != http.StatusNoContent {
		t.Fatalf("got %d", a.Status)
	}
	first.WantClosing("disconnected")
	s.Open("/events", "Cookie", "id=u1")
	if n := asked.Load(); n != 3 {
		t.Errorf("asked %d times", n)
	}
	other.Close()
	s.Open("/events", "Cookie", "id=u2")
	if n := asked.Load(); n != 3 {
		t.Errorf("another's answer was purged: asked %d times", n)
	}
}

// A path that leads back to the stream ends there.
func TestAuthorizeLoop(t *testing.T) {
	s := sitetest.Serve(t, `rewrite /whoami /events
	`+trusting("user authorize /whoami"))
	if reason := rejected(s, "/events", "Cookie", "id=u1"); reason != "authorize" {
		t.Errorf("got %q", reason)
	}
	if !strings.Contains(s.Log(), "the app answered 508") {
		t.Error("the log does not say why")
	}
}

func TestAuthorizeAppAway(t *testing.T) {
	s := sitetest.Serve(t, trusting("user authorize /whoami")+"reverse_proxy /whoami 127.0.0.1:1")
	if reason := rejected(s, "/events", "Cookie", "id=u1"); reason != "authorize" {
		t.Errorf("got %q", reason)
	}
}

// Hundreds of reconnects at once are one question a user, and all are in.
func TestAuthorizeReconnectStorm(t *testing.T) {
	const users, each = 40, 10
	behind, asked := whoami(t)
	s := sitetest.Serve(t, trusting("user authorize /whoami {\nttl 1m\ntimeout 30s\n}")+behind)
	var wg sync.WaitGroup
	for i := range users * each {
		wg.Go(func() {
			c, err := s.TryStream(sitetest.Limit, http.MethodGet, "/events", "", "Cookie", fmt.Sprint("id=u", i%users), "Accept", sitetest.EventStream)
			if err != nil || c.Status != http.StatusOK {
				t.Errorf("client %d: %v", i, err)
				return
			}
			if e := <-c.Events; e.Type != "sse:connected" || !strings.Contains(e.Data, fmt.Sprintf(`"user":"u%d"`, i%users)) {
				t.Errorf("client %d: got %q", i, e.Message)
			}
		})
	}
	wg.Wait()
	if n := asked.Load(); n != users {
		t.Errorf("the app was asked %d times", n)
	}
}
