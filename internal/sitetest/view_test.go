package sitetest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

type userCount struct {
	User        string
	Connections int
}

type topicCount struct {
	Topic       string
	Connections int
}

func TestViewConnections(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route(""))
	empty := s.Do("GET", "/_sse/connections", "")
	if empty.Body != `{"connections":[],"total":0}`+"\n" || empty.Header.Get("Content-Type") != "application/json" || empty.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("got %v %s", empty.Header, empty.Body)
	}
	start := time.Now()
	a := s.Open("/events?userId=u1&topic=room&topic=public/*")
	b := s.Open("/events?userId=u1")
	c := s.Open("/events?userId=u2&topic=public/a")
	d := s.Open("/events?topic=room")
	var ids []string
	for _, client := range []*sitetest.Client{a, b, c, d} {
		ids = append(ids, client.Connected.Connection)
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
		list := sitetest.Get[sitetest.ConnectionList](s, "/_sse/connections"+query)
		if !slices.Equal(list.IDs(), want) {
			t.Errorf("%s: got %v, want %v", query, list.IDs(), want)
		}
		if query != "?limit=2" && list.Total != len(want) || query == "?limit=2" && list.Total != 4 {
			t.Errorf("%s: got total %d", query, list.Total)
		}
	}
	one := sitetest.Get[sitetest.Connection](s, "/_sse/connections/"+ids[0])
	if one.ID != ids[0] || one.User != "u1" || one.Remote != "127.0.0.1" || !slices.Equal(one.Topics, []string{"public/*", "room"}) ||
		one.Since.Before(start.Add(-time.Second)) || one.Since.After(time.Now()) {
		t.Errorf("got %+v", one)
	}
	if anonymous := sitetest.Get[sitetest.Connection](s, "/_sse/connections/"+ids[3]); anonymous.User != "" {
		t.Errorf("got %+v", anonymous)
	}

	// Disconnecting ends the one stream.
	if a := s.Do("DELETE", "/_sse/connections/"+ids[0], ""); a.Status != http.StatusNoContent || a.Body != "" {
		t.Errorf("DELETE: got %d %s", a.Status, a.Body)
	}
	a.WantClosing("disconnected")
	gone := func() bool { return s.Do("GET", "/_sse/connections/"+ids[0], "").Status == http.StatusNotFound }
	brokertest.Eventually(t, "the connection is gone", gone)
	for _, method := range []string{"GET", "DELETE"} {
		if a := s.Do(method, "/_sse/connections/"+ids[0], ""); sitetest.ProblemOf(t, a).Status != http.StatusNotFound {
			t.Errorf("%s: got %d %s", method, a.Status, a.Body)
		}
	}
	s.Publish("broadcast", "1", "data", "the others stay")
	for _, client := range []*sitetest.Client{b, c, d} {
		client.Want("the others stay")
	}
	if list := sitetest.Get[sitetest.ConnectionList](s, "/_sse/connections"); list.Total != 3 {
		t.Errorf("got %+v", list)
	}
}

func TestViewCounts(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route(""))
	for _, query := range []string{
		"userId=u1&topic=room&topic=public/*", "userId=u1&topic=room", "userId=a/b&topic=public/a&topic=user/a%252Fb/*", "topic=public/x", "userId=*",
	} {
		s.Open("/events?" + query)
	}
	users := sitetest.Get[struct {
		Users []userCount
		Total int
	}](s, "/_sse/users")
	if want := []userCount{{"*", 1}, {"a/b", 1}, {"u1", 2}}; users.Total != 3 || !slices.Equal(users.Users, want) {
		t.Errorf("got %+v, want %v", users, want)
	}
	topics := sitetest.Get[struct {
		Topics []topicCount
		Total  int
	}](s, "/_sse/topics")
	if want := []topicCount{{"public/*", 1}, {"public/a", 1}, {"public/x", 1}, {"room", 2}, {"user/a%2Fb/*", 1}}; topics.Total != 5 || !slices.Equal(topics.Topics, want) {
		t.Errorf("got %+v, want %v", topics, want)
	}
	for name, n := range map[string]int{"u1": 2, "a/b": 1, "*": 1, "nobody": 0, "u": 0} {
		if got := sitetest.Get[userCount](s, "/_sse/users/"+url.PathEscape(name)); got != (userCount{name, n}) {
			t.Errorf("user %s: got %+v, want %d", name, got, n)
		}
	}
	for name, n := range map[string]int{"room": 2, "public/a": 2, "public/b": 1, "public/x": 2, "public/a/b": 0, "public": 0, "user/a%2Fb/orders": 1, "user/a/b": 0} {
		for _, path := range []string{url.PathEscape(name), (&url.URL{Path: name}).EscapedPath()} {
			if got := sitetest.Get[topicCount](s, "/_sse/topics/"+path); got != (topicCount{name, n}) {
				t.Errorf("topic %s as %s: got %+v, want %d", name, path, got, n)
			}
		}
	}
	for _, list := range []string{"users", "topics"} {
		got := sitetest.Get[struct {
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
	s := sitetest.Serve(t, sitetest.Route(""))
	for i := range 3 {
		s.Publish("user", "u1", "data", "before")
		position := sitetest.Get[struct{ Position string }](s, "/_sse/position").Position
		s.Publish("user", "u1", "data", "between")
		c := s.Open("/events?userId=u1&last_event_id=" + position)
		if c.LastID != position || url.QueryEscape(position) != position {
			t.Errorf("got id %q, want %q", c.LastID, position)
		}
		s.Publish("user", "u1", "data", fmt.Sprint(i))
		c.Want("between", fmt.Sprint(i))
		c.Close()
	}
}

func TestViewHealth(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route("hub main"))
	if a := s.Do("GET", "/_sse/health", ""); a.Status != http.StatusOK || a.Body != `{"status":"ready","hub":"main","lag":0}`+"\n" {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
}

func TestViewRefused(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route(""))
	id := s.Open("/events?userId=u1").Connected.Connection
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
		a := s.Do(tt.method, "/_sse/"+tt.call, "")
		sitetest.ProblemOf(t, a)
		if a.Status != tt.status || (a.Status == 405) != (a.Header.Get("Allow") != "") {
			t.Errorf("%s %s: got %d %v %s, want %d", tt.method, tt.call, a.Status, a.Header, a.Body, tt.status)
		}
	}
	if list := sitetest.Get[sitetest.ConnectionList](s, "/_sse/connections"); list.Total != 1 {
		t.Errorf("got %+v", list)
	}
}
