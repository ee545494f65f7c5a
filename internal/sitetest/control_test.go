package sitetest_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/identity"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// steer makes a call of the internal route, which must succeed.
func steer(s *sitetest.Site, method, call, body string) {
	s.T.Helper()
	if a := s.Do(method, "/_sse/"+call, body, "Content-Type", sitetest.FormType); a.Status != http.StatusNoContent {
		s.T.Fatalf("%s %s: got %d %s", method, call, a.Status, a.Body)
	}
}

// wantTopics takes the event that says what a connection is subscribed to.
func wantTopics(c *sitetest.Client, want ...string) {
	c.T.Helper()
	m := c.Next()
	var data struct{ Topics []string }
	if err := json.Unmarshal([]byte(m.Data), &data); err != nil || m.Type != "sse:topics" || !slices.Equal(data.Topics, want) {
		c.T.Fatalf("got %q, want topics %q", m, want)
	}
}

func TestControlTopics(t *testing.T) {
	sitetest.OverAll(t, func(t *testing.T, protocol, tls string) {
		s := sitetest.Serve(t, tls+sitetest.Route(""))
		s.Via(protocol)
		c := s.Open("/events?userId=a/b&topic=room")
		other := s.Open("/events?userId=a/b")
		of := "connections/" + c.Connected.Connection + "/topics"
		steer(s, "POST", of, "topic=orders/42")
		s.Publish("topic", "orders/42", "data", "1")
		wantTopics(c, "orders/42", "room")
		c.Want("1")
		steer(s, "POST", "users/a%2Fb/topics", url.Values{"topics[0]": {"x/*"}, "topics[1]": {"y"}}.Encode())
		steer(s, "POST", "users/a%2Fb/topics", strings.Repeat("topics[]=y&", identity.MaxTopics)) // counted once, whatever their name
		s.Publish("topic", "x/1", "data", "2")
		wantTopics(c, "orders/42", "room", "x/*", "y")
		c.Want("2")
		wantTopics(other, "x/*", "y")
		other.Want("2")
		steer(s, "DELETE", "users/a%2Fb/topics/x/1", "")
		steer(s, "DELETE", of+"/orders/42", "")
		steer(s, "DELETE", of+"/room", "")
		for _, secret := range []string{"orders/42", "room", "x/1"} {
			s.Publish("topic", secret, "data", "secret")
		}
		s.Publish("topic", "y", "data", "3")
		wantTopics(c, "orders/42", "room", "y")
		wantTopics(c, "room", "y")
		wantTopics(c, "y")
		c.Want("3")
		wantTopics(other, "y")
		other.Want("3")
	})
}

// What an app has added outlives a reload, though the config does not grant it.
func TestControlTopicsOverReload(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route(""))
	c := s.Open("/events?userId=u1&topic=room")
	steer(s, "POST", "users/u1/topics", "topic=added")
	if err := sitetest.Load([]*sitetest.Site{s}, sitetest.Route("")); err != nil {
		t.Fatal(err)
	}
	s.Reconnect()
	s.Publish("topic", "added", "data", "1")
	wantTopics(c, "added", "room")
	c.Want("1")
}

func TestControlDisconnects(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route(""))
	room, public, none := s.Open("/events?userId=u1&topic=room"), s.Open("/events?userId=u1&topic=public/*"), s.Open("/events?userId=u2")
	steer(s, "DELETE", "topics/public/a", "")
	public.WantClosing("disconnected")
	steer(s, "DELETE", "users/u1", "")
	room.WantClosing("disconnected")
	s.Publish("user", "u2", "data", "1")
	none.Want("1")
	steer(s, "DELETE", "connections/"+none.Connected.Connection, "")
	none.WantClosing("disconnected")
}

// A denied user's clients are told to stop, and stay denied that long.
func TestControlDenies(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route("two_way"))
	c := s.Open("/events?userId=u1")
	steer(s, "DELETE", "users/u1?deny", "")
	c.WantClosing("denied")
	for range 2 {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			if a := s.Do(method, "/events?userId=u1", "", "Accept", sitetest.EventStream); a.Status != http.StatusNoContent || a.Body != "" {
				t.Errorf("%s: got %d %s", method, a.Status, a.Body)
			}
		}
	}
	if a := s.Do(http.MethodPost, "/events/"+c.Connected.Connection+"?userId=u1", "", "Origin", s.URL); a.Status != http.StatusForbidden {
		t.Errorf("posting: got %d", a.Status)
	}
	s.Open("/events?userId=u2")
	steer(s, "DELETE", "users/u1?deny=0s", "")
	brokertest.Eventually(t, "he is in again", func() bool {
		return s.Do(http.MethodHead, "/events?userId=u1", "").Status == http.StatusOK
	})
	s.Open("/events?userId=u1")
	steer(s, "DELETE", "users/u1?deny=10m", "")
	brokertest.Eventually(t, "the end in the log", func() bool { return strings.Contains(s.Log(), `"reason":"denied"`) })
}

// Each call is a line of the log: the caller, the call and its target. A name cannot pass for another line.
func TestControlIsAudited(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route(""))
	c := s.Open("/events?userId=u1")
	steer(s, "POST", "users/u1/topics", "topic=added")
	steer(s, "DELETE", "users/u1?deny=10m", "")
	steer(s, "DELETE", "topics/room", "")
	s.Do("DELETE", "/_sse/connections/"+strings.Repeat("x", 22), "")
	steer(s, "DELETE", "users/"+url.PathEscape(`u","level":"error`), "")
	wantTopics(c, "added")
	c.WantClosing("denied")
	for _, want := range []string{
		`"msg":"control","hub":"default","call":"join","peer":"127.0.0.1","user":"u1","topics":["added"]`,
		`"hub":"default","call":"deny","peer":"127.0.0.1","user":"u1","for":600`,
		`"hub":"default","call":"disconnect","peer":"127.0.0.1","topic":"room"`,
		`"connection":"xxxxxxxxxxxxxxxxxxxxxx","error":"404 Not Found`,
		`"user":"u\",\"level\":\"error"`,
	} {
		if !strings.Contains(s.Log(), want) {
			t.Errorf("the log does not say %s", want)
		}
	}
}

func TestControlBadCalls(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route(""))
	id := s.Open("/events?userId=u1").Connected.Connection
	for _, test := range []struct {
		method, call, body string
		status             int
		says               string
	}{
		{"DELETE", "users/u1?deny=x", "", 400, "deny"},
		{"DELETE", "users/u1?deny=25h", "", 400, "24h"},
		{"DELETE", "users/u1?deny=-1s", "", 400, "deny"},
		{"DELETE", "users/u1?deny=1s&deny=2s", "", 400, "deny"},
		{"DELETE", "users/u1?for=1s", "", 400, "for"},
		{"DELETE", "users/a%0Ab", "", 400, "user"},
		{"DELETE", "topics/room?deny=1s", "", 400, "deny"},
		{"DELETE", "topics/room/*", "", 400, "topic"},
		{"DELETE", "connections/" + strings.Repeat("x", 22), "", 404, ""},
		{"DELETE", "connections/a%0Ab", "", 404, ""},
		{"POST", "users/u1", "", 405, ""},
		{"POST", "users/u1/topics", "", 400, "topic"},
		{"POST", "users/u1/topics", "topic=", 400, "topic"},
		{"POST", "users/u1/topics", "topic=a*", 400, "topic"},
		{"POST", "users/u1/topics", "topic=a&data=b", 400, "data"},
		{"POST", "users/u1/topics", strings.Repeat("topic=a&", 101), 400, "topic"},
		{"POST", "connections/" + strings.Repeat("x", 22) + "/topics", "topic=a", 404, ""},
		{"POST", "connections/" + id + "/topics/a", "topic=a", 405, ""},
		{"PUT", "connections/" + id + "/topics", "topic=a", 405, ""},
		{"GET", "users/u1/topics", "", 405, ""},
		{"DELETE", "users/u1/topics", "", 405, ""},
		{"DELETE", "users/u1/topics/a%0Ab", "", 400, "topic"},
		{"DELETE", "users/u1/topics/a?deny=1s", "", 400, "deny"},
		{"DELETE", "users//topics/a", "", 400, "user"},
	} {
		a := s.Do(test.method, "/_sse/"+test.call, test.body, "Content-Type", sitetest.FormType)
		if a.Status != test.status || !strings.Contains(a.Body, test.says) || a.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s %.20s: got %d %s", test.method, test.call, test.body, a.Status, a.Body)
		}
	}
	if n := s.CountConnections(); n != 1 {
		t.Errorf("%d connections are left", n)
	}
}

// After a call that takes something from a user, the app is asked again about that user; after one that ends a topic, about all.
func TestControlPurges(t *testing.T) {
	behind, asked := whoami(t)
	s := sitetest.Serve(t, trusting("user authorize /whoami {\nttl 5m\n}")+behind)
	want := int64(0)
	for _, step := range []struct {
		method, call string
		asks         int64
	}{
		{"", "", 2},
		{"DELETE", "users/u1", 1},
		{"DELETE", "users/u1/topics/extra/u1", 1},
		{"DELETE", "topics/extra/u1", 2},
		{"DELETE", "users/nobody", 0},
	} {
		if step.method != "" {
			steer(s, step.method, step.call, "")
		}
		for _, id := range []string{"u1", "u2"} {
			s.Open("/events?topic=extra/"+id, "Cookie", "id="+id)
		}
		if want += step.asks; asked.Load() != want {
			t.Errorf("behind %s %s: asked %d times, want %d", step.method, step.call, asked.Load(), want)
			want = asked.Load()
		}
	}
}

func TestPresenceEvents(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route("presence public/who 1s"))
	watcher := s.Open("/events?topic=public/who")
	c := s.Open("/events?userId=u1")
	again := s.Open("/events?userId=u1")
	for _, want := range []string{`{"user":"u1","state":"join"}`, `{"user":"u1","state":"leave"}`} {
		if m := watcher.Next(); m.Type != "sse:presence" || m.Data != want || m.ID == "" {
			t.Errorf("got %q, want %s", m, want)
		}
		c.Close()
		again.Close()
	}
	if a := s.Do("POST", "/_sse/publish", "topic=public/who&event=sse:presence&data=forged", "Content-Type", sitetest.FormType); a.Status != 400 {
		t.Errorf("forged: got %d", a.Status)
	}
}

// A percent-encoded prefix is the same prefix: nothing of the call after it is lost.
func TestControlBehindAnEncodedPrefix(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route(""))
	c := s.Open("/events?userId=a/b&topic=room&topic=public/a")
	if a := s.Do("DELETE", "/%5fsse/users/a%2Fb/topics/room", ""); a.Status != 204 {
		t.Fatalf("got %+v", a)
	}
	s.Publish("topic", "room", "data", "secret")
	s.Publish("topic", "public/a", "data", "1")
	wantTopics(c, "public/a")
	c.Want("1")
}
