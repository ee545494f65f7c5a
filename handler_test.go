package ssepush_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// Who may publish, as section by section: what the request bears, and what it gets.
func TestGuardOverHTTP(t *testing.T) {
	const secret, page = "s3cret-of-this-test", "https://app.example.com"
	t.Setenv("SSE_PUSH_TEST_TOKEN", secret)
	const token, loopback, far = "token old {env.SSE_PUSH_TEST_TOKEN}", "allow loopback", "allow 10.0.0.0/8"
	bearer := []string{"Authorization", "Bearer " + secret}
	with := func(headers ...string) []string { return append(headers, bearer...) }
	for _, tt := range []struct {
		internal string
		cases    []guardCase
	}{
		{token, []guardCase{
			{bearer, 200},
			{[]string{"Authorization", "bearer old"}, 200},
			{with("X-Forwarded-For", "203.0.113.9"), 200},
			{nil, 401},
			{[]string{"Authorization", "Bearer wrong"}, 401},
			{[]string{"Authorization", "Basic " + secret}, 401},
			{[]string{"X-Forwarded-For", "203.0.113.9"}, 404},
			{[]string{"Via", "1.1 proxy", "Authorization", "Bearer wrong"}, 404},
			{with("Origin", page), 404},
			{with("Sec-Fetch-Site", "none"), 404},
		}},
		{loopback, []guardCase{
			{nil, 200},
			{[]string{"Authorization", "Bearer whatever"}, 200},
			{[]string{"X-Forwarded-For", "127.0.0.1"}, 404},
			{[]string{"X-Forwarded-Proto", "https"}, 404},
			{[]string{"Forwarded", "for=127.0.0.1"}, 404},
			{[]string{"X-Real-IP", "127.0.0.1"}, 404},
			{[]string{"Via", "1.1 proxy"}, 404},
			{[]string{"CF-Connecting-IP", "127.0.0.1"}, 404},
			{[]string{"Origin", page}, 404},
			{[]string{"Sec-Fetch-Site", "same-origin"}, 404},
		}},
		{far, []guardCase{
			{nil, 404},
			{[]string{"X-Forwarded-For", "10.0.0.1"}, 404},
			{bearer, 404},
		}},
		{token + "\n" + loopback, []guardCase{
			{bearer, 200},
			{nil, 401},
			{with("X-Forwarded-For", "127.0.0.1"), 404},
		}},
		{token + "\n" + far, []guardCase{{bearer, 404}, {nil, 404}}},
		{loopback + "\norigins " + page, []guardCase{
			{nil, 200},
			{[]string{"Origin", page, "Sec-Fetch-Site", "cross-site"}, 200},
			{[]string{"Origin", "https://evil.example.com"}, 404},
			{[]string{"Origin", "null"}, 404},
		}},
	} {
		t.Run(tt.internal, func(t *testing.T) {
			s := serve(t, `sse_push {
				internal /_sse {
					`+tt.internal+`
				}
			}
			respond "next"`)
			for _, c := range tt.cases {
				a := s.post(formType, "broadcast=1&data=x", c.headers...)
				if a.status != c.status || strings.Contains(a.body, secret) {
					t.Errorf("%q: got %d %s, want %d", c.headers, a.status, a.body, c.status)
				}
				if a.status == 404 && (a.body != "" || a.header.Get("WWW-Authenticate") != "") {
					t.Errorf("%q: the route shows: %v %s", c.headers, a.header, a.body)
				}
				if a.status == 401 && a.header.Get("WWW-Authenticate") != "Bearer" {
					t.Errorf("%q: got %v", c.headers, a.header)
				}
			}
		})
	}
}

type guardCase struct {
	headers []string
	status  int
}

// Nothing below the internal prefix is passed on, however it is spelt.
func TestInternalIsNeverPassedOn(t *testing.T) {
	s := serve(t, route(""))
	ask := func(target string) answer {
		return s.raw("GET " + target + " HTTP/1.1\r\nHost: " + s.addr + "\r\nConnection: close\r\n\r\n")
	}
	for _, target := range []string{
		"/_sse", "/_sse/", "/_sse/x", "/_sse/x?y", "/_sse/publish/", "//_sse/x", "///_sse", "/_SSE/x", "/_Sse",
		"/./_sse/x", "/_sse/./x", "/_sse//x", "/_sse/../_sse/x", "/x/../_sse/publish", "/x/y/../../_sse/position", "/../_sse/x",
		"/%5fsse/x", "/%5F%73%73%65/x", "/_sse%2fx", "/%2f_sse/x", "/%2e/_sse/x", "/x%2f..%2f_sse%2fx", "/x/%2e%2e/_sse/x",
		"/_sse/../x", "/_sse/%2e%2e/x", "/_sse/..%2fx", "/_sse/..", "http://" + s.addr + "/_sse/x", "http://" + s.addr + "//_sse/x",
	} {
		if a := ask(target); a.status != http.StatusNotFound || strings.Contains(a.body, "next") {
			t.Errorf("%s: got %d %s", target, a.status, a.body)
		}
	}
	for _, target := range []string{"/", "/_ssex", "/_sse-x/y", "/x/_sse/y", "/events/", "/Events", "/events/x", "/_s/se"} {
		if a := ask(target); a.status != http.StatusOK || a.body != "next" {
			t.Errorf("%s: got %d %s", target, a.status, a.body)
		}
	}
	// An encoding of the very path is the path.
	if a := ask("/%5Fsse/health"); a.status != http.StatusOK {
		t.Errorf("got %d %s", a.status, a.body)
	}
}

// An app publishes on a listener of its own; both directives have the hub in common.
func TestPublishOnlyDirective(t *testing.T) {
	s := serveAll(t, `sse_push /events {
			hub main
			user query userId
		}
		respond "next"`, `sse_push {
			hub main
			internal /_sse {
				allow loopback
			}
		}
		respond "own"`)
	c := s[0].open("/events?userId=u1")
	s[1].publish("user", "u1", "data", "hello")
	c.want("hello")
	if a := s[0].do("POST", "/_sse/publish", "user=u1&data=x", "Content-Type", formType); a.body != "next" {
		t.Errorf("the first site publishes: %d %s", a.status, a.body)
	}
	if a := s[1].do("GET", "/events?userId=u1", ""); a.body != "own" {
		t.Errorf("the second site subscribes: %d %s", a.status, a.body)
	}
	s[1].publish("user", "u1", "data", "still")
	c.want("still")
}

// Two directives in one site, with a hub in common or with one each.
func TestTwoDirectives(t *testing.T) {
	for _, second := range []string{"main", "other"} {
		t.Run(second, func(t *testing.T) {
			directive := func(path, hub string) string {
				return fmt.Sprintf(`sse_push %s/events {
					hub %s
					user query userId
					anonymous
					topics room
					internal %s/_sse {
						allow loopback
					}
				}
				`, path, hub, path)
			}
			s := serve(t, directive("/a", "main")+directive("/b", second)+`respond "next"`)
			a, b := s.open("/a/events?userId=u1&topic=room"), s.open("/b/events?userId=u1&topic=room")
			id := ""
			targets := []string{"user=u1", "topic=room", "broadcast=1", "connection=" + a.connected.Connection}
			for _, target := range targets {
				id = idOf(t, s.do("POST", "/a/_sse/publish", target+"&data="+target[:3], "Content-Type", formType))
				a.want(target[:3])
				if second == "main" && target[:3] != "con" {
					b.want(target[:3])
				}
			}
			idOf(t, s.do("POST", "/b/_sse/publish", "user=u1&data=b", "Content-Type", formType))
			b.want("b") // and nothing of the other hub before it
			if second == "main" {
				a.want("b")
				s.resume("/b/events?userId=u1", id).want("b")
				return
			}
			s.resume("/b/events?userId=u1", id).wantGap("unknown")
			if n := get[connections](s, "/a/_sse/connections").Total; n != 1 {
				t.Errorf("the first hub has %d connections", n)
			}
			idOf(t, s.do("POST", "/a/_sse/publish", "user=u1&data=a", "Content-Type", formType))
			a.want("a")
		})
	}
}

// JSON works without a Caddyfile, and its contradictions are found as well.
func TestJSONConfig(t *testing.T) {
	s := newSite(t, "")
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	handler := func(settings string) string {
		return `{"handle": [{"handler": "sse_push", "path": "/events", "anonymous": true` + settings + `}]}`
	}
	config := func(handlers ...string) []byte {
		return fmt.Appendf(nil, `{"admin": {"disabled": true, "config": {"persist": false}},
			"logging": {"logs": {"default": {"writer": {"output": "discard"}}}},
			"apps": {"http": {"servers": {"s": {"listen": [%q], "automatic_https": {"disable": true}, "routes": [%s]}}}}}`,
			s.addr, strings.Join(handlers, ","))
	}
	err := caddy.Load(config(handler(`, "users": [{"source": "query", "name": "userId"}], "topics": ["user/{user}/*"],
		"internal": {"prefix": "/_sse", "allow": ["loopback"]}`)), false)
	if err != nil {
		t.Fatal(err)
	}
	c := s.open("/events?userId=u1&topic=user/u1/orders")
	s.publish("user", "u1", "data", "to the user")
	s.publish("topic", "user/u1/orders", "data", "to the topic")
	c.want("to the user", "to the topic")
	c.close()
	s.client.CloseIdleConnections()

	for _, tt := range []struct {
		handlers []string
		says     []string // nothing: it is right
	}{
		{[]string{handler("")}, nil},
		{[]string{handler(`, "hub": "a", "history": {"events": 5}`), handler(`, "hub": "a"`)}, nil},
		{[]string{handler(`, "hub": "a", "history": {"events": 5}`), handler(`, "hub": "a", "history": {"events": 5}`)}, nil},
		{[]string{handler(`, "hub": "a", "history": {"events": 5}`), handler(`, "hub": "b", "history": {"events": 6}`)}, nil},
		{[]string{handler(`, "hub": "a", "history": {"events": 5}`), handler(`, "hub": "a", "history": {"events": 6}`)}, []string{`"a"`, "history"}},
		{[]string{handler(`, "hub": "a", "limits": {"per_user": 5}`), handler(`, "hub": "a", "limits": {"per_user": 6}`)}, []string{`"a"`, "limits"}},
		{[]string{handler(`, "hub": "a"`), handler("")}, []string{"hub", "missing"}},
		{[]string{handler(""), handler(`, "hub": "a"`)}, []string{"hub", "missing"}},
		{[]string{handler(""), handler(`, "topics": ["room"]`)}, []string{"hub", "missing"}},
		{[]string{handler(`, "colour": "red"`)}, []string{"colour"}},
		{[]string{handler(`, "heartbeat": "10ms"`)}, []string{"heartbeat"}},
		{[]string{handler(`, "internal": {"prefix": "/_sse"}`)}, []string{"internal", "allow"}},
		{[]string{handler(`, "internal": {"prefix": "/_sse", "tokens": ["{env.SSE_PUSH_NO_SUCH_VARIABLE}"]}`)}, []string{"internal", "token", "is not set"}},
		{[]string{handler(`, "broker": {"name": "pigeon"}`)}, []string{"broker", "pigeon"}},
	} {
		err := caddy.Load(config(tt.handlers...), true)
		if len(tt.says) == 0 {
			if err != nil {
				t.Errorf("%s: %v", tt.handlers, err)
			}
			continue
		}
		if err == nil {
			t.Errorf("%s: no error", tt.handlers)
			continue
		}
		for _, word := range tt.says {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: got %v, which does not say %s", tt.handlers, err, word)
			}
		}
	}
}

// A refusal is logged, not for each request, with what to do and without the secret.
func TestRefusalIsLogged(t *testing.T) {
	s := serve(t, `sse_push {
		internal /_sse {
			token s3cret-of-this-test
		}
	}`)
	for range 5 {
		s.post(formType, "broadcast=1", "Authorization", "Bearer wr0ng-of-this-test")
	}
	log := s.log()
	if n := strings.Count(log, "127.0.0.1 refused"); n != 1 || strings.Contains(log, "of-this-test") || !strings.Contains(log, "wrong token") {
		t.Errorf("got %d lines in\n%s", n, log)
	}
}
