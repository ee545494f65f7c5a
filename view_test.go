package ssepush_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"
)

type connection struct {
	ID, User, Remote string
	Topics           []string
	Since            time.Time
}

type connections struct {
	Connections []connection
	Total       int
}

func (c connections) ids() (ids []string) {
	for _, one := range c.Connections {
		ids = append(ids, one.ID)
	}
	return ids
}

type userCount struct {
	User        string
	Connections int
}

type topicCount struct {
	Topic       string
	Connections int
}

func TestViewConnections(t *testing.T) {
	s := serve(t, route(""))
	empty := s.do("GET", "/_sse/connections", "")
	if empty.body != `{"connections":[],"total":0}`+"\n" || empty.header.Get("Content-Type") != "application/json" || empty.header.Get("Cache-Control") != "no-store" {
		t.Errorf("got %v %s", empty.header, empty.body)
	}
	start := time.Now()
	a := s.open("/events?userId=u1&topic=room&topic=public/*")
	b := s.open("/events?userId=u1")
	c := s.open("/events?userId=u2&topic=public/a")
	d := s.open("/events?topic=room")
	var ids []string
	for _, client := range []*client{a, b, c, d} {
		ids = append(ids, client.connected.Connection)
	}
	for query, want := range map[string][]string{
		"":                            ids,
		"?limit=2":                    ids[:2],
		"?limit=10000":                ids,
		"?user=u1":                    ids[:2],
		"?user=nobody":                nil,
		"?topic=room":                 {ids[0], ids[3]},
		"?topic=public%2Fa":           {ids[0], ids[2]},
		"?user=u1&topic=public/a":     ids[:1],
		"?user=u1&topic=room&limit=1": ids[:1],
		"?topic=nothing":              nil,
	} {
		list := get[connections](s, "/_sse/connections"+query)
		if !slices.Equal(list.ids(), want) {
			t.Errorf("%s: got %v, want %v", query, list.ids(), want)
		}
		if query != "?limit=2" && list.Total != len(want) || query == "?limit=2" && list.Total != 4 {
			t.Errorf("%s: got total %d", query, list.Total)
		}
	}
	one := get[connection](s, "/_sse/connections/"+ids[0])
	if one.ID != ids[0] || one.User != "u1" || one.Remote != "127.0.0.1" || !slices.Equal(one.Topics, []string{"public/*", "room"}) ||
		one.Since.Before(start.Add(-time.Second)) || one.Since.After(time.Now()) {
		t.Errorf("got %+v", one)
	}
	if anonymous := get[connection](s, "/_sse/connections/"+ids[3]); anonymous.User != "" {
		t.Errorf("got %+v", anonymous)
	}

	// Disconnecting ends the one stream.
	if a := s.do("DELETE", "/_sse/connections/"+ids[0], ""); a.status != http.StatusNoContent || a.body != "" {
		t.Errorf("DELETE: got %d %s", a.status, a.body)
	}
	a.wantEnd()
	gone := func() bool { return s.do("GET", "/_sse/connections/"+ids[0], "").status == http.StatusNotFound }
	waitFor(t, "the connection is gone", gone)
	for _, method := range []string{"GET", "DELETE"} {
		if a := s.do(method, "/_sse/connections/"+ids[0], ""); problemOf(t, a).Status != http.StatusNotFound {
			t.Errorf("%s: got %d %s", method, a.status, a.body)
		}
	}
	s.publish("broadcast", "1", "data", "the others stay")
	for _, client := range []*client{b, c, d} {
		client.want("the others stay")
	}
	if list := get[connections](s, "/_sse/connections"); list.Total != 3 {
		t.Errorf("got %+v", list)
	}
}

func TestViewCounts(t *testing.T) {
	s := serve(t, route(""))
	for _, query := range []string{
		"userId=u1&topic=room&topic=public/*", "userId=u1&topic=room", "userId=a/b&topic=public/a&topic=user/a%252Fb/*", "topic=public/x", "userId=*",
	} {
		s.open("/events?" + query)
	}
	users := get[struct {
		Users []userCount
		Total int
	}](s, "/_sse/users")
	if want := []userCount{{"*", 1}, {"a/b", 1}, {"u1", 2}}; users.Total != 3 || !slices.Equal(users.Users, want) {
		t.Errorf("got %+v, want %v", users, want)
	}
	topics := get[struct {
		Topics []topicCount
		Total  int
	}](s, "/_sse/topics")
	if want := []topicCount{{"public/*", 1}, {"public/a", 1}, {"public/x", 1}, {"room", 2}, {"user/a%2Fb/*", 1}}; topics.Total != 5 || !slices.Equal(topics.Topics, want) {
		t.Errorf("got %+v, want %v", topics, want)
	}
	for name, n := range map[string]int{"u1": 2, "a/b": 1, "*": 1, "nobody": 0, "u": 0} {
		if got := get[userCount](s, "/_sse/users/"+url.PathEscape(name)); got != (userCount{name, n}) {
			t.Errorf("user %s: got %+v, want %d", name, got, n)
		}
	}
	for name, n := range map[string]int{"room": 2, "public/a": 2, "public/b": 1, "public/x": 2, "public/a/b": 0, "public": 0, "user/a%2Fb/orders": 1, "user/a/b": 0} {
		for _, path := range []string{url.PathEscape(name), (&url.URL{Path: name}).EscapedPath()} {
			if got := get[topicCount](s, "/_sse/topics/"+path); got != (topicCount{name, n}) {
				t.Errorf("topic %s as %s: got %+v, want %d", name, path, got, n)
			}
		}
	}
	for _, list := range []string{"users", "topics"} {
		got := get[struct {
			Users  []userCount
			Topics []topicCount
			Total  int
		}](s, "/_sse/"+list+"?limit=2")
		if len(got.Users)+len(got.Topics) != 2 || got.Total < 3 {
			t.Errorf("%s: got %+v", list, got)
		}
	}
}

// A page that was rendered with the position gets all that comes after it, and nothing else.
func TestViewPosition(t *testing.T) {
	s := serve(t, route(""))
	for i := range 3 {
		s.publish("user", "u1", "data", "before")
		position := get[struct{ Position string }](s, "/_sse/position").Position
		s.publish("user", "u1", "data", "between")
		c := s.open("/events?userId=u1&last_event_id=" + position)
		if c.id != position || url.QueryEscape(position) != position {
			t.Errorf("got id %q, want %q", c.id, position)
		}
		s.publish("user", "u1", "data", fmt.Sprint(i))
		c.want("between", fmt.Sprint(i))
		c.close()
	}
}

func TestViewHealth(t *testing.T) {
	s := serve(t, route("hub main"))
	if a := s.do("GET", "/_sse/health", ""); a.status != http.StatusOK || a.body != `{"status":"ready","hub":"main","lag":0}`+"\n" {
		t.Errorf("got %d %s", a.status, a.body)
	}
}

func TestViewRefused(t *testing.T) {
	s := serve(t, route(""))
	id := s.open("/events?userId=u1").connected.Connection
	for _, tt := range []struct {
		method, call string
		status       int
	}{
		{"GET", "", 404},
		{"GET", "x", 404},
		{"GET", "connection", 404},
		{"GET", "Connections", 404},
		{"GET", "connections/", 404},
		{"GET", "connections/x/y", 404},
		{"GET", "users/", 404},
		{"GET", "topics/", 404},
		{"GET", "publish/x", 404},
		{"GET", "position/x", 404},
		{"GET", "health/", 404},
		{"DELETE", "connections/x", 404},
		{"GET", "connections?colour=red", 400},
		{"GET", "connections?limit=0", 400},
		{"GET", "connections?limit=10001", 400},
		{"GET", "connections?limit=x", 400},
		{"GET", "connections?user=%zz", 400},
		{"GET", "connections/" + id + "?user=u1", 400},
		{"DELETE", "connections/" + id + "?colour=red", 400},
		{"GET", "users?user=u1", 400},
		{"GET", "topics/room?limit=1", 400},
		{"GET", "position?x=y", 400},
		{"GET", "health?x=y", 400},
		{"POST", "connections", 405},
		{"DELETE", "connections", 405},
		{"POST", "connections/" + id, 405},
		{"PUT", "users", 405},
		{"PUT", "topics", 405},
		{"POST", "position", 405},
		{"POST", "health", 405},
	} {
		a := s.do(tt.method, "/_sse/"+tt.call, "")
		problemOf(t, a)
		if a.status != tt.status || (a.status == 405) != (a.header.Get("Allow") != "") {
			t.Errorf("%s %s: got %d %v %s, want %d", tt.method, tt.call, a.status, a.header, a.body, tt.status)
		}
	}
	if list := get[connections](s, "/_sse/connections"); list.Total != 1 {
		t.Errorf("got %+v", list)
	}
}
