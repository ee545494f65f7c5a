package sitetest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

func TestConnected(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route("retry 500ms 1500ms"))
	s.Publish("broadcast", "1", "data", "before")
	tail := sitetest.Get[struct{ Position string }](s, "/_sse/position").Position

	retries, ids := map[time.Duration]bool{}, map[string]bool{}
	for range 8 {
		c := s.Open("/events?userId=u1&topic=room&topic=public/a&topic=room")
		if c.LastID != tail {
			t.Errorf("got id %q, want the tail %q", c.LastID, tail)
		}
		if c.Connected.User == nil || *c.Connected.User != "u1" || !slices.Equal(c.Connected.Topics, []string{"public/a", "room"}) {
			t.Errorf("got %+v", c.Connected)
		}
		if c.Retry < 500*time.Millisecond || c.Retry > 1500*time.Millisecond {
			t.Errorf("got retry %s", c.Retry)
		}
		retries[c.Retry], ids[c.Connected.Connection] = true, true
	}
	if len(retries) < 2 {
		t.Errorf("retry has no jitter: %v", retries)
	}
	if len(ids) != 8 {
		t.Errorf("connections share an id: %v", ids)
	}
	if c := s.Open("/events"); c.Connected.User != nil || c.Connected.Topics == nil || len(c.Connected.Topics) > 0 {
		t.Errorf("anonymous: got %+v", c.Connected)
	}
}

// What goes over the wire, to the byte; HTTP/1.0 has no framing of its own. The servers' timeouts, which are
// shorter than the heartbeat, do not end the stream.
func TestWire(t *testing.T) {
	s := sitetest.ServeWith(t, "timeouts {\nread_body 2s\nread_header 2s\nwrite 2s\nidle 2s\n}", sitetest.Route("heartbeat 3s"))[0]
	_, reader := s.Dial("GET /events?userId=u1 HTTP/1.0\r\n\r\n")
	resp, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK || len(resp.TransferEncoding) > 0 || resp.ContentLength >= 0 {
		t.Fatalf("got %+v", resp)
	}
	wantBytes := func(pattern string) {
		t.Helper()
		var got string
		for lines := strings.Count(pattern, `\n`); lines > 0; lines-- {
			line, err := reader.ReadString('\n')
			if got += line; err != nil {
				t.Fatalf("%v behind %q", err, got)
			}
		}
		if !regexp.MustCompile("^" + pattern + "$").MatchString(got) {
			t.Fatalf("got %q, want %s", got, pattern)
		}
	}
	wantBytes(`event: sse:connected\nretry: \d{4}\ndata: \{"connection":"[A-Za-z0-9_-]{22}","user":"u1","topics":\[\]\}\nid: [a-z0-9.]+\n\n`)
	id := s.Publish("user", "u1", "event", "hi", "data", "hel\r\nlo\r", "id", "7", "retry", "500")
	wantBytes(`event: hi\nretry: 500\ndata: hel\ndata: lo\ndata:\nid: ` + regexp.QuoteMeta(id) + `~7\n\n`)
	wantBytes(`:\n`) // the heartbeat
	id = s.Publish("user", "u1")
	wantBytes(`data:\nid: ` + regexp.QuoteMeta(id) + `\n\n`) // with no blank line before it
}

func TestTargets(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route(""))
	u1, also1 := s.Open("/events?userId=u1&topic=room"), s.Open("/events?userId=u1")
	u2 := s.Open("/events?userId=u2&topic=public/*")
	nobody := s.Open("/events")
	all := []*sitetest.Client{u1, also1, u2, nobody}

	for i, tt := range []struct {
		target []string // names and values
		heard  []*sitetest.Client
	}{
		{[]string{"user", "u1"}, []*sitetest.Client{u1, also1}},
		{[]string{"user", "u2"}, []*sitetest.Client{u2}},
		{[]string{"user", "u"}, nil},
		{[]string{"topic", "room"}, []*sitetest.Client{u1}},
		{[]string{"topic", "public/x"}, []*sitetest.Client{u2}},
		{[]string{"topic", "public/x/y"}, nil},
		{[]string{"topic", "u1"}, nil},
		{[]string{"connection", also1.Connected.Connection}, []*sitetest.Client{also1}},
		{[]string{"connection", nobody.Connected.Connection}, []*sitetest.Client{nobody}},
		{[]string{"broadcast", "true"}, all},
		{[]string{"users[]", "u1", "users[]", "u2", "topics[]", "room", "topics[]", "public/x"}, []*sitetest.Client{u1, also1, u2}},
		{[]string{"broadcast", "1", "user", "u1", "topic", "room", "connection", u1.Connected.Connection}, all},
		{[]string{"broadcast", "1", "exclude[]", u1.Connected.Connection, "exclude[]", u2.Connected.Connection}, []*sitetest.Client{also1, nobody}},
		{[]string{"user", "u1", "exclude[]", u1.Connected.Connection}, []*sitetest.Client{also1}},
	} {
		for _, c := range all {
			c.PassPositions = true // one that is excluded is told to go on from behind the event
		}
		// A second delivery, or one to another client, would come before the next event.
		data := fmt.Sprintf("%d %v", i, tt.target)
		s.Publish(append(tt.target, "data", data)...)
		for _, c := range tt.heard {
			c.Want(data)
		}
	}
	s.Publish("broadcast", "1", "data", "last")
	for _, c := range all {
		c.Want("last")
	}
}

func TestTopics(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route("topics deep/** */news"))
	for _, topics := range [][]string{
		{},
		{"room"},
		{"public/a", "public/*", "room"},
		{"deep/a/b/c", "deep/**"},
		{"sport/news", "*/news"},
		{"user/u1/orders", "user/u1/*"},
	} {
		c := s.Open("/events?userId=u1&" + url.Values{"topic": topics}.Encode())
		if slices.Sort(topics); !slices.Equal(c.Connected.Topics, topics) {
			t.Errorf("asked for %q, got %q", topics, c.Connected.Topics)
		}
	}
	for _, topic := range []string{
		"rooms", "Room", "public", "public/a/b", "public/**", "**", "*", "*/*", "deep", "deep/*", "deep/a/**",
		"user/u2/orders", "user/*/orders", "user/**", "user/u1", "user/u1/a/b", "user/{user}/a",
	} {
		a := s.Do("GET", "/events?userId=u1&topic=room&topic="+url.QueryEscape(topic), "", "Accept", "text/event-stream")
		if a.Status != http.StatusForbidden || !strings.Contains(a.Body, topic) {
			t.Errorf("%s: got %d %s", topic, a.Status, a.Body)
		}
	}
	if a := s.Do("GET", "/events?topic=user//x", ""); a.Status != http.StatusForbidden {
		t.Errorf("a client without a user: got %d %s", a.Status, a.Body)
	}
}

// A user's name can be anything, and gains nothing by it.
func TestUserNamesAreEscaped(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route(""))
	ann := s.Open("/events?userId=ann&topic=user/ann/x")
	open := func(user, topic string) *sitetest.Client {
		t.Helper()
		return s.Open("/events?" + url.Values{"userId": {user}, "topic": {topic}}.Encode())
	}
	names := map[string]*sitetest.Client{}
	for user, segment := range map[string]string{
		"*": "%2A", "**": "%2A%2A", "a/b": "a%2Fb", "a%2Fb": "a%252Fb", "%2F": "%252F", "{user}": "{user}", "ü ~": "ü ~",
	} {
		names[user] = open(user, "user/"+segment+"/x")
		for _, foreign := range []string{"user/ann/x", "user/" + user + "/x", "user/*/x", "user/a/b", "user/a/b/x"} {
			if foreign == "user/"+segment+"/x" {
				continue
			}
			a := s.Do("GET", "/events?"+url.Values{"userId": {user}, "topic": {foreign}}.Encode(), "")
			if a.Status != http.StatusForbidden && a.Status != http.StatusBadRequest {
				t.Errorf("user %q, topic %q: got %d %s", user, foreign, a.Status, a.Body)
			}
		}
	}
	for user := range names {
		s.Publish("user", user, "data", "to "+user)
	}
	s.Publish("topic", "user/a%2Fb/x", "data", "topic of a/b")
	s.Publish("broadcast", "1", "data", "last")
	ann.Want("last")
	for user, c := range names {
		c.Want("to " + user)
		if user == "a/b" {
			c.Want("topic of a/b")
		}
		c.Want("last")
	}
}

func TestSubscribeMethods(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route(""))
	first := s.Publish("user", "u1", "data", "1")
	s.Publish("user", "u1", "data", "2")
	s.Publish("topic", "room", "data", "3")
	form := url.Values{"userId": {"u1"}, "topic": {"room", "public/a"}, "last_event_id": {first}}.Encode()
	object := fmt.Sprintf(`{"userId": "u1", "topic": ["room", "public/a"], "last_event_id": %q, "replay": null}`, first)
	for _, tt := range []struct{ method, target, body, kind string }{
		{"GET", "/events?" + form, "", ""},
		{"POST", "/events?" + form, "", ""},
		{"POST", "/events", form, sitetest.FormType},
		{"QUERY", "/events", form, sitetest.FormType + "; charset=utf-8"},
		{"POST", "/events", object, "application/json"},
		{"QUERY", "/events?topic=room&userId=u1", `{"topic": "public/a", "last_event_id": "` + first + `"}`, "application/json"},
	} {
		t.Run(tt.method+" "+tt.kind, func(t *testing.T) {
			s := s.In(t)
			c := s.Stream(tt.method, tt.target, tt.body, "Content-Type", tt.kind).Begin()
			if *c.Connected.User != "u1" || !slices.Equal(c.Connected.Topics, []string{"public/a", "room"}) || c.LastID != first {
				t.Errorf("got %+v from %q", c.Connected, c.LastID)
			}
			c.Want("2", "3")
		})
	}
	if c := s.Stream("POST", "/events?userId=u1", `{"replay": 1, "topic": []}`, "Content-Type", "application/json").Begin(); c.Next().Data != "2" {
		t.Error("replay as a number: got something else")
	}

	const allow = "GET, HEAD, OPTIONS, POST, QUERY"
	for _, method := range []string{"PUT", "DELETE", "PATCH", "TRACE", "get"} {
		if a := s.Do(method, "/events?userId=u1", ""); a.Status != http.StatusMethodNotAllowed || a.Header.Get("Allow") != allow {
			t.Errorf("%s: got %d, Allow %q", method, a.Status, a.Header.Get("Allow"))
		}
	}
	if a := s.Do("OPTIONS", "/events", ""); a.Status != http.StatusNoContent || a.Header.Get("Allow") != allow {
		t.Errorf("OPTIONS: got %d, Allow %q", a.Status, a.Header.Get("Allow"))
	}
}

// Each is final, so it has its real status, and names what is wrong.
func TestSubscribeRefused(t *testing.T) {
	s := sitetest.Serve(t, strings.Replace(sitetest.Route(""), "anonymous", "", 1))
	many := "/events?userId=u1" + strings.Repeat("&topic=room", 1000)
	for _, tt := range []struct {
		method, target, body, kind string
		status                     int
		says                       string
	}{
		{"GET", "/events", "", "", 401, "user"},
		{"GET", "/events?userId=", "", "", 401, "user"},
		{"HEAD", "/events", "", "", 401, ""},
		{"GET", "/events?userId=a&userId=b", "", "", 401, "userId"},
		{"GET", "/events?userId=" + strings.Repeat("u", 256), "", "", 401, "255"},
		{"GET", "/events?userId=a%0Ab", "", "", 401, "control"},
		{"GET", "/events?userId=a%FF", "", "", 401, "UTF-8"},
		{"GET", many, "", "", 400, `"field":"topic"`},
		{"POST", "/events?userId=u1", strings.Repeat("topic=room&", 1000), sitetest.FormType, 400, `"field":"topic"`},
		{"GET", "/events?userId=u1&topic=", "", "", 400, `"field":"topic"`},
		{"GET", "/events?userId=u1&topic=" + strings.Repeat("t", 256), "", "", 400, `"field":"topic"`},
		{"GET", "/events?userId=u1&topic=%FF", "", "", 400, `"field":"topic"`},
		{"GET", "/events?userId=u1&topic=pub*", "", "", 400, `"field":"topic"`},
		{"GET", "/events?userId=u1&replay=x", "", "", 400, `"field":"replay"`},
		{"GET", "/events?userId=u1&replay=-1", "", "", 400, `"field":"replay"`},
		{"GET", "/events?userId=u1&a=%zz", "", "", 400, "query"},
		{"POST", "/events", `{"userId": "u1"`, "application/json", 400, "body"},
		{"POST", "/events", `["u1"]`, "application/json", 400, "body"},
		{"POST", "/events", `{"userId": {"a": 1}}`, "application/json", 400, "userId"},
		{"POST", "/events", `{"userId": "u1"} {}`, "application/json", 400, "body"},
		{"POST", "/events", "userId=%zz", sitetest.FormType, 400, "body"},
		{"POST", "/events", "userId=u1", "text/plain", 415, "application/json"},
		{"QUERY", "/events", "userId=u1", "", 415, "application/json"},
		{"POST", "/events", "userId=u1&x=" + strings.Repeat("x", 65<<10), sitetest.FormType, 413, "65536"},
	} {
		a := s.Do(tt.method, tt.target, tt.body, "Content-Type", tt.kind, "Accept", "text/event-stream")
		if a.Status != tt.status || !strings.Contains(a.Body, tt.says) {
			t.Errorf("%s %.60s %.60s: got %d %.200s, want %d %s", tt.method, tt.target, tt.body, a.Status, a.Body, tt.status, tt.says)
		}
		if kind := a.Header.Get("Content-Type"); kind != "application/problem+json" {
			t.Errorf("%s %.60s: got Content-Type %q", tt.method, tt.target, kind)
		}
	}
	if list := sitetest.Get[sitetest.ConnectionList](s, "/_sse/connections"); list.Total != 0 {
		t.Errorf("left behind: %+v", list)
	}
	s.Open("/events?userId=u1" + strings.Repeat("&topic=room", 100))
}

func TestIdentity(t *testing.T) {
	s := sitetest.Serve(t, `sse_push /events {
		user header X-User from 127.0.0.0/8
		user header X-Far from 10.0.0.0/8
		user cookie sid
		user {http.request.header.X-Any}
		user query userId
		internal /_sse {
			allow loopback
		}
	}`)
	for _, tt := range []struct {
		query   string
		headers []string
		user    string // "" for 401
	}{
		{"?userId=q", nil, "q"},
		{"?userId=q", []string{"X-User", "h"}, "h"},
		{"?userId=q", []string{"X-User", "h", "X-Far", "f", "Cookie", "sid=c", "X-Any", "a"}, "h"},
		{"?userId=q", []string{"X-Far", "forged"}, "q"},
		{"?userId=q", []string{"Cookie", "a=b; sid=c; d=e"}, "c"},
		{"?userId=q", []string{"X-Any", "a", "Cookie", "sid="}, "a"},
		{"", []string{"X-Any", "a"}, "a"},
		{"", []string{"X-Far", "forged"}, ""},
		{"", nil, ""},
		{"?userId=q", []string{"X-User", "one", "X-User", "two"}, ""},
		{"?userId=q", []string{"X-User", strings.Repeat("u", 256)}, ""},
		{"?userId=q", []string{"Cookie", "sid=a", "Cookie", "sid=b"}, ""},
	} {
		c := s.Stream("GET", "/events"+tt.query, "", tt.headers...)
		switch {
		case tt.user == "":
			if c.Status != http.StatusUnauthorized {
				t.Errorf("%s %q: got %d", tt.query, tt.headers, c.Status)
			}
		case *c.Begin().Connected.User != tt.user:
			t.Errorf("%s %q: got user %q, want %q", tt.query, tt.headers, *c.Connected.User, tt.user)
		}
		c.Close()
	}
}

func TestCORSOverHTTP(t *testing.T) {
	const listed, stranger = "https://app.example.com", "https://evil.example.com"
	const anyone = "public.test"
	sites := sitetest.ServeAll(t,
		strings.Replace(sitetest.Route("hub main\ncors_origins "+listed), "anonymous", "", 1),
		sitetest.Route("hub open\ncors_origins *"))
	s := sites[0]
	own := "http://" + s.Addr
	for _, tt := range []struct {
		method, target, origin string
		status                 int
		allowed                string // Access-Control-Allow-Origin
	}{
		{"HEAD", "/events?userId=u1", listed, 200, listed},
		{"HEAD", "/events?userId=u1", own, 200, ""},
		{"HEAD", "/events?userId=u1", "", 200, ""},
		{"HEAD", "/events?userId=u1", stranger, 403, "*"},
		{"HEAD", "/events?userId=u1", "null", 403, "*"},
		{"HEAD", "/events?userId=u1", listed + ".evil.example.com", 403, "*"},
		{"HEAD", "/events?userId=u1", "http://app.example.com", 403, "*"},
		{"GET", "/events?userId=u1", stranger, 403, ""},
		{"POST", "/events?userId=u1", stranger, 403, ""},
		{"GET", "/events", listed, 401, listed},
		{"GET", "/events?userId=u1&topic=secret", listed, 403, listed},
		{"GET", "/events?userId=u1&replay=x", listed, 400, listed},
	} {
		headers := []string{"Accept", "text/event-stream"}
		if tt.origin != "" {
			headers = append(headers, "Origin", tt.origin)
		}
		a := s.Do(tt.method, tt.target, "", headers...)
		credentials := ""
		if tt.allowed == listed {
			credentials = "true"
		}
		if a.Status != tt.status || a.Header.Get("Access-Control-Allow-Origin") != tt.allowed ||
			a.Header.Get("Access-Control-Allow-Credentials") != credentials {
			t.Errorf("%s %s from %q: got %d %v", tt.method, tt.target, tt.origin, a.Status, a.Header)
		}
		if !slices.Contains(a.Header.Values("Vary"), "Origin") {
			t.Errorf("%s %s from %q: got Vary %q", tt.method, tt.target, tt.origin, a.Header.Values("Vary"))
		}
	}
	if list := sitetest.Get[sitetest.ConnectionList](s, "/_sse/connections"); list.Total != 0 {
		t.Errorf("a stranger was admitted: %+v", list)
	}

	preflight := func(s *sitetest.Site, origin string) sitetest.Answer {
		return s.Do("OPTIONS", "/events", "", "Origin", origin, "Access-Control-Request-Method", "POST",
			"Access-Control-Request-Headers", "authorization,cache-control,content-type,last-event-id")
	}
	a := preflight(s, listed)
	if a.Status != http.StatusNoContent || a.Header.Get("Access-Control-Allow-Origin") != listed ||
		!strings.Contains(a.Header.Get("Access-Control-Allow-Methods"), "POST") ||
		!strings.Contains(strings.ToLower(a.Header.Get("Access-Control-Allow-Headers")), "last-event-id") {
		t.Errorf("preflight: got %d %v", a.Status, a.Header)
	}
	if a := preflight(s, stranger); a.Header.Get("Access-Control-Allow-Origin") != "" || a.Status != http.StatusForbidden {
		t.Errorf("preflight of a stranger: got %d %v", a.Status, a.Header)
	}

	c := sites[1].Open("/events", "Origin", "https://"+anyone)
	if c.Header.Get("Access-Control-Allow-Origin") != "*" || c.Header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("any origin: got %v", c.Header)
	}
	if a := preflight(sites[1], "https://"+anyone); a.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("preflight of any origin: got %d %v", a.Status, a.Header)
	}
}
