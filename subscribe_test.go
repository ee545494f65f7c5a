package ssepush_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestConnected(t *testing.T) {
	s := serve(t, route("retry 200ms 1200ms"))
	s.publish("broadcast", "1", "data", "before")
	tail := get[struct{ Position string }](s, "/_sse/position").Position

	retries, ids := map[time.Duration]bool{}, map[string]bool{}
	for range 8 {
		c := s.open("/events?userId=u1&topic=room&topic=public/a&topic=room")
		if c.id != tail {
			t.Errorf("got id %q, want the tail %q", c.id, tail)
		}
		if c.connected.User == nil || *c.connected.User != "u1" || !slices.Equal(c.connected.Topics, []string{"public/a", "room"}) {
			t.Errorf("got %+v", c.connected)
		}
		if c.retry < 200*time.Millisecond || c.retry > 1200*time.Millisecond {
			t.Errorf("got retry %s", c.retry)
		}
		retries[c.retry], ids[c.connected.Connection] = true, true
	}
	if len(retries) < 2 {
		t.Errorf("retry has no jitter: %v", retries)
	}
	if len(ids) != 8 {
		t.Errorf("connections share an id: %v", ids)
	}
	if c := s.open("/events"); c.connected.User != nil || c.connected.Topics == nil || len(c.connected.Topics) > 0 {
		t.Errorf("anonymous: got %+v", c.connected)
	}
}

// What goes over the wire, to the byte; HTTP/1.0 has no framing of its own. The servers' timeouts, which are
// shorter than the heartbeat, do not end the stream.
func TestWire(t *testing.T) {
	s := serveWith(t, "timeouts {\nread_body 500ms\nread_header 500ms\nwrite 500ms\nidle 500ms\n}", route("heartbeat 1s"))[0]
	_, reader := s.dial("GET /events?userId=u1 HTTP/1.0\r\n\r\n")
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
	id := s.publish("user", "u1", "event", "hi", "data", "hel\r\nlo\r", "id", "7", "retry", "50")
	wantBytes(`event: hi\nretry: 50\ndata: hel\ndata: lo\ndata:\nid: ` + regexp.QuoteMeta(id) + `~7\n\n`)
	wantBytes(`:\n`) // the heartbeat
	id = s.publish("user", "u1")
	wantBytes(`data:\nid: ` + regexp.QuoteMeta(id) + `\n\n`) // with no blank line before it
}

func TestTargets(t *testing.T) {
	s := serve(t, route(""))
	u1, also1 := s.open("/events?userId=u1&topic=room"), s.open("/events?userId=u1")
	u2 := s.open("/events?userId=u2&topic=public/*")
	nobody := s.open("/events")
	all := []*client{u1, also1, u2, nobody}

	for i, tt := range []struct {
		target []string // names and values
		heard  []*client
	}{
		{[]string{"user", "u1"}, []*client{u1, also1}},
		{[]string{"user", "u2"}, []*client{u2}},
		{[]string{"user", "u"}, nil},
		{[]string{"topic", "room"}, []*client{u1}},
		{[]string{"topic", "public/x"}, []*client{u2}},
		{[]string{"topic", "public/x/y"}, nil},
		{[]string{"topic", "u1"}, nil},
		{[]string{"connection", also1.connected.Connection}, []*client{also1}},
		{[]string{"connection", nobody.connected.Connection}, []*client{nobody}},
		{[]string{"broadcast", "true"}, all},
		{[]string{"users[]", "u1", "users[]", "u2", "topics[]", "room", "topics[]", "public/x"}, []*client{u1, also1, u2}},
		{[]string{"broadcast", "1", "user", "u1", "topic", "room", "connection", u1.connected.Connection}, all},
		{[]string{"broadcast", "1", "exclude[]", u1.connected.Connection, "exclude[]", u2.connected.Connection}, []*client{also1, nobody}},
		{[]string{"user", "u1", "exclude[]", u1.connected.Connection}, []*client{also1}},
	} {
		for _, c := range all {
			c.passPositions = true // one that is excluded is told to go on from behind the event
		}
		// A second delivery, or one to somebody else, would stand before the next event.
		data := fmt.Sprintf("%d %v", i, tt.target)
		s.publish(append(tt.target, "data", data)...)
		for _, c := range tt.heard {
			c.want(data)
		}
	}
	s.publish("broadcast", "1", "data", "last")
	for _, c := range all {
		c.want("last")
	}
}

func TestTopics(t *testing.T) {
	s := serve(t, route("topics deep/** */news"))
	for _, topics := range [][]string{
		{},
		{"room"},
		{"public/a", "public/*", "room"},
		{"deep/a/b/c", "deep/**"},
		{"sport/news", "*/news"},
		{"user/u1/orders", "user/u1/*"},
	} {
		c := s.open("/events?userId=u1&" + url.Values{"topic": topics}.Encode())
		if slices.Sort(topics); !slices.Equal(c.connected.Topics, topics) {
			t.Errorf("asked for %q, got %q", topics, c.connected.Topics)
		}
	}
	for _, topic := range []string{
		"rooms", "Room", "public", "public/a/b", "public/**", "**", "*", "*/*", "deep", "deep/*", "deep/a/**",
		"user/u2/orders", "user/*/orders", "user/**", "user/u1", "user/u1/a/b", "user/{user}/a",
	} {
		a := s.do("GET", "/events?userId=u1&topic=room&topic="+url.QueryEscape(topic), "", "Accept", "text/event-stream")
		if a.status != http.StatusForbidden || !strings.Contains(a.body, topic) {
			t.Errorf("%s: got %d %s", topic, a.status, a.body)
		}
	}
	if a := s.do("GET", "/events?topic=user//x", ""); a.status != http.StatusForbidden {
		t.Errorf("a client without a user: got %d %s", a.status, a.body)
	}
}

// A user's name can be anything, and gains nothing by it.
func TestUserNamesAreEscaped(t *testing.T) {
	s := serve(t, route(""))
	ann := s.open("/events?userId=ann&topic=user/ann/x")
	open := func(user, topic string) *client {
		t.Helper()
		return s.open("/events?" + url.Values{"userId": {user}, "topic": {topic}}.Encode())
	}
	names := map[string]*client{}
	for user, segment := range map[string]string{
		"*": "%2A", "**": "%2A%2A", "a/b": "a%2Fb", "a%2Fb": "a%252Fb", "%2F": "%252F", "{user}": "{user}", "ü ~": "ü ~",
	} {
		names[user] = open(user, "user/"+segment+"/x")
		for _, foreign := range []string{"user/ann/x", "user/" + user + "/x", "user/*/x", "user/a/b", "user/a/b/x"} {
			if foreign == "user/"+segment+"/x" {
				continue
			}
			a := s.do("GET", "/events?"+url.Values{"userId": {user}, "topic": {foreign}}.Encode(), "")
			if a.status != http.StatusForbidden && a.status != http.StatusBadRequest {
				t.Errorf("user %q, topic %q: got %d %s", user, foreign, a.status, a.body)
			}
		}
	}
	for user := range names {
		s.publish("user", user, "data", "to "+user)
	}
	s.publish("topic", "user/a%2Fb/x", "data", "topic of a/b")
	s.publish("broadcast", "1", "data", "last")
	ann.want("last")
	for user, c := range names {
		c.want("to " + user)
		if user == "a/b" {
			c.want("topic of a/b")
		}
		c.want("last")
	}
}

func TestSubscribeMethods(t *testing.T) {
	s := serve(t, route(""))
	first := s.publish("user", "u1", "data", "1")
	s.publish("user", "u1", "data", "2")
	s.publish("topic", "room", "data", "3")
	form := url.Values{"userId": {"u1"}, "topic": {"room", "public/a"}, "last_event_id": {first}}.Encode()
	object := fmt.Sprintf(`{"userId": "u1", "topic": ["room", "public/a"], "last_event_id": %q, "replay": null}`, first)
	for _, tt := range []struct{ method, target, body, kind string }{
		{"GET", "/events?" + form, "", ""},
		{"POST", "/events?" + form, "", ""},
		{"POST", "/events", form, formType},
		{"QUERY", "/events", form, formType + "; charset=utf-8"},
		{"POST", "/events", object, "application/json"},
		{"QUERY", "/events?topic=room&userId=u1", `{"topic": "public/a", "last_event_id": "` + first + `"}`, "application/json"},
	} {
		t.Run(tt.method+" "+tt.kind, func(t *testing.T) {
			s := s.in(t)
			c := s.stream(tt.method, tt.target, tt.body, "Content-Type", tt.kind).begin()
			if *c.connected.User != "u1" || !slices.Equal(c.connected.Topics, []string{"public/a", "room"}) || c.id != first {
				t.Errorf("got %+v from %q", c.connected, c.id)
			}
			c.want("2", "3")
		})
	}
	if c := s.stream("POST", "/events?userId=u1", `{"replay": 1, "topic": []}`, "Content-Type", "application/json").begin(); c.next().Data != "2" {
		t.Error("replay as a number: got something else")
	}

	const allow = "GET, HEAD, OPTIONS, POST, QUERY"
	for _, method := range []string{"PUT", "DELETE", "PATCH", "TRACE", "get"} {
		if a := s.do(method, "/events?userId=u1", ""); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != allow {
			t.Errorf("%s: got %d, Allow %q", method, a.status, a.header.Get("Allow"))
		}
	}
	if a := s.do("OPTIONS", "/events", ""); a.status != http.StatusNoContent || a.header.Get("Allow") != allow {
		t.Errorf("OPTIONS: got %d, Allow %q", a.status, a.header.Get("Allow"))
	}
}

// Each is final, so it has its real status, and names what is wrong.
func TestSubscribeRefused(t *testing.T) {
	s := serve(t, strings.Replace(route(""), "anonymous", "", 1))
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
		{"POST", "/events?userId=u1", strings.Repeat("topic=room&", 1000), formType, 400, `"field":"topic"`},
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
		{"POST", "/events", "userId=%zz", formType, 400, "body"},
		{"POST", "/events", "userId=u1", "text/plain", 415, "application/json"},
		{"QUERY", "/events", "userId=u1", "", 415, "application/json"},
		{"POST", "/events", "userId=u1&x=" + strings.Repeat("x", 65<<10), formType, 413, "65536"},
	} {
		a := s.do(tt.method, tt.target, tt.body, "Content-Type", tt.kind, "Accept", "text/event-stream")
		if a.status != tt.status || !strings.Contains(a.body, tt.says) {
			t.Errorf("%s %.60s %.60s: got %d %.200s, want %d %s", tt.method, tt.target, tt.body, a.status, a.body, tt.status, tt.says)
		}
		if kind := a.header.Get("Content-Type"); kind != "application/problem+json" {
			t.Errorf("%s %.60s: got Content-Type %q", tt.method, tt.target, kind)
		}
	}
	if list := get[connections](s, "/_sse/connections"); list.Total != 0 {
		t.Errorf("left behind: %+v", list)
	}
	s.open("/events?userId=u1" + strings.Repeat("&topic=room", 100))
}

func TestIdentity(t *testing.T) {
	s := serve(t, `sse_push /events {
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
		c := s.stream("GET", "/events"+tt.query, "", tt.headers...)
		switch {
		case tt.user == "":
			if c.status != http.StatusUnauthorized {
				t.Errorf("%s %q: got %d", tt.query, tt.headers, c.status)
			}
		case *c.begin().connected.User != tt.user:
			t.Errorf("%s %q: got user %q, want %q", tt.query, tt.headers, *c.connected.User, tt.user)
		}
		c.close()
	}
}

func TestCORSOverHTTP(t *testing.T) {
	const listed, stranger = "https://app.example.com", "https://evil.example.com"
	const anyone = "public.test"
	sites := serveAll(t,
		strings.Replace(route("hub main\ncors_origins "+listed), "anonymous", "", 1),
		route("hub open\ncors_origins *"))
	s := sites[0]
	own := "http://" + s.addr
	for _, tt := range []struct {
		method, target, origin string
		status                 int
		allowed                string // Access-Control-Allow-Origin
	}{
		{"HEAD", "/events?userId=u1", listed, 200, listed},
		{"HEAD", "/events?userId=u1", own, 200, ""},
		{"HEAD", "/events?userId=u1", "", 200, ""},
		{"HEAD", "/events?userId=u1", stranger, 403, ""},
		{"HEAD", "/events?userId=u1", "null", 403, ""},
		{"HEAD", "/events?userId=u1", listed + ".evil.example.com", 403, ""},
		{"HEAD", "/events?userId=u1", "http://app.example.com", 403, ""},
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
		a := s.do(tt.method, tt.target, "", headers...)
		credentials := ""
		if tt.allowed != "" {
			credentials = "true"
		}
		if a.status != tt.status || a.header.Get("Access-Control-Allow-Origin") != tt.allowed ||
			a.header.Get("Access-Control-Allow-Credentials") != credentials {
			t.Errorf("%s %s from %q: got %d %v", tt.method, tt.target, tt.origin, a.status, a.header)
		}
		if !slices.Contains(a.header.Values("Vary"), "Origin") {
			t.Errorf("%s %s from %q: got Vary %q", tt.method, tt.target, tt.origin, a.header.Values("Vary"))
		}
	}
	if list := get[connections](s, "/_sse/connections"); list.Total != 0 {
		t.Errorf("a stranger was admitted: %+v", list)
	}

	preflight := func(s *site, origin string) answer {
		return s.do("OPTIONS", "/events", "", "Origin", origin, "Access-Control-Request-Method", "POST",
			"Access-Control-Request-Headers", "authorization,cache-control,content-type,last-event-id")
	}
	a := preflight(s, listed)
	if a.status != http.StatusNoContent || a.header.Get("Access-Control-Allow-Origin") != listed ||
		!strings.Contains(a.header.Get("Access-Control-Allow-Methods"), "POST") ||
		!strings.Contains(strings.ToLower(a.header.Get("Access-Control-Allow-Headers")), "last-event-id") {
		t.Errorf("preflight: got %d %v", a.status, a.header)
	}
	if a := preflight(s, stranger); a.header.Get("Access-Control-Allow-Origin") != "" || a.status != http.StatusForbidden {
		t.Errorf("preflight of a stranger: got %d %v", a.status, a.header)
	}

	c := sites[1].open("/events", "Origin", "https://"+anyone)
	if c.header.Get("Access-Control-Allow-Origin") != "*" || c.header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("any origin: got %v", c.header)
	}
	if a := preflight(sites[1], "https://"+anyone); a.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("preflight of any origin: got %d %v", a.status, a.header)
	}
}
