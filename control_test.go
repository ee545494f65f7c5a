package ssepush_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// steer makes a call of the internal route that is to be done.
func (s *site) steer(method, call, body string) {
	s.t.Helper()
	if a := s.do(method, "/_sse/"+call, body, "Content-Type", formType); a.status != http.StatusNoContent {
		s.t.Fatalf("%s %s: got %d %s", method, call, a.status, a.body)
	}
}

// wantTopics takes the event that says what a connection is subscribed to.
func (c *client) wantTopics(want ...string) {
	c.t.Helper()
	m := c.next()
	var data struct{ Topics []string }
	if err := json.Unmarshal([]byte(m.Data), &data); err != nil || m.Type != "sse:topics" || !slices.Equal(data.Topics, want) {
		c.t.Fatalf("got %q, want topics %q", m, want)
	}
}

func TestControlTopics(t *testing.T) {
	overAll(t, func(t *testing.T, protocol, tls string) {
		s := serve(t, tls+route(""))
		s.via(protocol)
		c := s.open("/events?userId=a/b&topic=room")
		other := s.open("/events?userId=a/b")
		of := "connections/" + c.connected.Connection + "/topics"
		s.steer("POST", of, "topic=orders/42")
		s.publish("topic", "orders/42", "data", "1")
		c.wantTopics("orders/42", "room")
		c.want("1")
		s.steer("POST", "users/a%2Fb/topics", url.Values{"topics[0]": {"x/*"}, "topics[1]": {"y"}}.Encode())
		s.publish("topic", "x/1", "data", "2")
		c.wantTopics("orders/42", "room", "x/*", "y")
		c.want("2")
		other.wantTopics("x/*", "y")
		other.want("2")
		s.steer("DELETE", "users/a%2Fb/topics/x/1", "")
		s.steer("DELETE", of+"/orders/42", "")
		s.steer("DELETE", of+"/room", "")
		for _, secret := range []string{"orders/42", "room", "x/1"} {
			s.publish("topic", secret, "data", "secret")
		}
		s.publish("topic", "y", "data", "3")
		c.wantTopics("orders/42", "room", "y")
		c.wantTopics("room", "y")
		c.wantTopics("y")
		c.want("3")
		other.wantTopics("y")
		other.want("3")
	})
}

// What an app has added outlives a reload, though the config does not grant it.
func TestControlTopicsOverReload(t *testing.T) {
	s := serve(t, route(""))
	c := s.open("/events?userId=u1&topic=room")
	s.steer("POST", "users/u1/topics", "topic=added")
	if err := load([]*site{s}, route("")); err != nil {
		t.Fatal(err)
	}
	s.reconnect()
	s.publish("topic", "added", "data", "1")
	c.wantTopics("added", "room")
	c.want("1")
}

func TestControlDisconnects(t *testing.T) {
	s := serve(t, route(""))
	room, public, none := s.open("/events?userId=u1&topic=room"), s.open("/events?userId=u1&topic=public/*"), s.open("/events?userId=u2")
	s.steer("DELETE", "topics/public/a", "")
	public.wantEnd()
	s.steer("DELETE", "users/u1", "")
	room.wantEnd()
	s.publish("user", "u2", "data", "1")
	none.want("1")
	s.steer("DELETE", "connections/"+none.connected.Connection, "")
	none.wantEnd()
}

// Who is denied is told to stop, for as long.
func TestControlDenies(t *testing.T) {
	s := serve(t, route("two_way"))
	c := s.open("/events?userId=u1")
	s.steer("DELETE", "users/u1?deny", "")
	c.wantEnd()
	for range 2 {
		if a := s.do(http.MethodGet, "/events?userId=u1", "", "Accept", eventStream); a.status != http.StatusNoContent || a.body != "" {
			t.Errorf("got %d %s", a.status, a.body)
		}
	}
	if a := s.do(http.MethodPost, "/events/"+c.connected.Connection+"?userId=u1", "", "Origin", s.url); a.status != http.StatusForbidden {
		t.Errorf("posting: got %d", a.status)
	}
	s.open("/events?userId=u2")
	s.steer("DELETE", "users/u1?deny=0s", "")
	waitFor(t, "he is in again", func() bool {
		return s.do(http.MethodHead, "/events?userId=u1", "").status == http.StatusOK
	})
	s.open("/events?userId=u1")
	s.steer("DELETE", "users/u1?deny=10m", "")
	waitFor(t, "the end in the log", func() bool { return strings.Contains(s.log(), `"reason":"denied"`) })
}

// Each call is a line of the log: who, what, to whom. What is in a name can not pass for another line.
func TestControlIsAudited(t *testing.T) {
	s := serve(t, route(""))
	c := s.open("/events?userId=u1")
	s.steer("POST", "users/u1/topics", "topic=added")
	s.steer("DELETE", "users/u1?deny=10m", "")
	s.steer("DELETE", "topics/room", "")
	s.do("DELETE", "/_sse/connections/"+strings.Repeat("x", 22), "")
	s.steer("DELETE", "users/"+url.PathEscape(`u","level":"error`), "")
	c.wantTopics("added")
	c.wantEnd()
	for _, want := range []string{
		`"msg":"control","hub":"default","call":"join","peer":"127.0.0.1","user":"u1","topics":["added"]`,
		`"hub":"default","call":"deny","peer":"127.0.0.1","user":"u1","for":600`,
		`"hub":"default","call":"disconnect","peer":"127.0.0.1","topic":"room"`,
		`"connection":"xxxxxxxxxxxxxxxxxxxxxx","error":"404 Not Found`,
		`"user":"u\",\"level\":\"error"`,
	} {
		if !strings.Contains(s.log(), want) {
			t.Errorf("the log does not say %s", want)
		}
	}
}

func TestControlBadCalls(t *testing.T) {
	s := serve(t, route(""))
	id := s.open("/events?userId=u1").connected.Connection
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
		a := s.do(test.method, "/_sse/"+test.call, test.body, "Content-Type", formType)
		if a.status != test.status || !strings.Contains(a.body, test.says) || a.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s %.20s: got %d %s", test.method, test.call, test.body, a.status, a.body)
		}
	}
	if n := s.connections(); n != 1 {
		t.Errorf("%d connections are left", n)
	}
}

// Whom something is taken from is asked about anew, and everybody is where a topic's subscribers are sent off.
func TestControlPurges(t *testing.T) {
	behind, asked := whoami(t)
	s := serve(t, trusting("user authorize /whoami {\nttl 5m\n}")+behind)
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
			s.steer(step.method, step.call, "")
		}
		for _, id := range []string{"u1", "u2"} {
			s.open("/events?topic=extra/"+id, "Cookie", "id="+id)
		}
		if want += step.asks; asked.Load() != want {
			t.Errorf("behind %s %s: asked %d times, want %d", step.method, step.call, asked.Load(), want)
			want = asked.Load()
		}
	}
}

func TestPresenceEvents(t *testing.T) {
	s := serve(t, route("presence public/who 1s"))
	watcher := s.open("/events?topic=public/who")
	c := s.open("/events?userId=u1")
	again := s.open("/events?userId=u1")
	for _, want := range []string{`{"user":"u1","state":"join"}`, `{"user":"u1","state":"leave"}`} {
		if m := watcher.next(); m.Type != "sse:presence" || m.Data != want || m.ID == "" {
			t.Errorf("got %q, want %s", m, want)
		}
		c.close()
		again.close()
	}
	if a := s.do("POST", "/_sse/publish", "topic=public/who&event=sse:presence&data=forged", "Content-Type", formType); a.status != 400 {
		t.Errorf("forged: got %d", a.status)
	}
}

// A prefix that is sent percent-encoded is the same prefix: nothing of the call behind it is lost.
func TestControlBehindAnEncodedPrefix(t *testing.T) {
	s := serve(t, route(""))
	c := s.open("/events?userId=a/b&topic=room&topic=public/a")
	if a := s.do("DELETE", "/%5fsse/users/a%2Fb/topics/room", ""); a.status != 204 {
		t.Fatalf("got %+v", a)
	}
	s.publish("topic", "room", "data", "secret")
	s.publish("topic", "public/a", "data", "1")
	c.wantTopics("public/a")
	c.want("1")
}
