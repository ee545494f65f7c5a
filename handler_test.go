package ssepush_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
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
			s := sitetest.Serve(t, `sse_push {
				internal /_sse {
					`+tt.internal+`
				}
			}
			respond "next"`)
			for _, c := range tt.cases {
				a := s.Post(sitetest.FormType, "broadcast=1&data=x", c.headers...)
				if a.Status != c.status || strings.Contains(a.Body, secret) {
					t.Errorf("%q: got %d %s, want %d", c.headers, a.Status, a.Body, c.status)
				}
				if a.Status == 404 && (a.Body != "" || a.Header.Get("WWW-Authenticate") != "") {
					t.Errorf("%q: the route shows: %v %s", c.headers, a.Header, a.Body)
				}
				if a.Status == 401 && a.Header.Get("WWW-Authenticate") != "Bearer" {
					t.Errorf("%q: got %v", c.headers, a.Header)
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
	s := sitetest.Serve(t, sitetest.Route(""))
	ask := func(target string) sitetest.Answer {
		return s.Raw("GET " + target + " HTTP/1.1\r\nHost: " + s.Addr + "\r\nConnection: close\r\n\r\n")
	}
	for _, target := range []string{
		"/_sse", "/_sse/", "/_sse/x", "/_sse/x?y", "/_sse/publish/", "//_sse/x", "///_sse", "/_SSE/x", "/_Sse",
		"/./_sse/x", "/_sse/./x", "/_sse//x", "/_sse/../_sse/x", "/x/../_sse/publish", "/x/y/../../_sse/position", "/../_sse/x",
		"/%5fsse/x", "/%5F%73%73%65/x", "/_sse%2fx", "/%2f_sse/x", "/%2e/_sse/x", "/x%2f..%2f_sse%2fx", "/x/%2e%2e/_sse/x",
		"/_sse/../x", "/_sse/%2e%2e/x", "/_sse/..%2fx", "/_sse/..", "http://" + s.Addr + "/_sse/x", "http://" + s.Addr + "//_sse/x",
	} {
		if a := ask(target); a.Status != http.StatusNotFound || strings.Contains(a.Body, "next") {
			t.Errorf("%s: got %d %s", target, a.Status, a.Body)
		}
	}
	for _, target := range []string{"/", "/_ssex", "/_sse-x/y", "/x/_sse/y", "/events/", "/Events", "/events/x", "/_s/se"} {
		if a := ask(target); a.Status != http.StatusOK || a.Body != "next" {
			t.Errorf("%s: got %d %s", target, a.Status, a.Body)
		}
	}
	// An encoding of the very path is the path.
	if a := ask("/%5Fsse/health"); a.Status != http.StatusOK {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
}

// An app publishes on a listener of its own; both directives have the hub in common.
func TestPublishOnlyDirective(t *testing.T) {
	s := sitetest.ServeAll(t, `sse_push /events {
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
	c := s[0].Open("/events?userId=u1")
	s[1].Publish("user", "u1", "data", "hello")
	c.Want("hello")
	if a := s[0].Do("POST", "/_sse/publish", "user=u1&data=x", "Content-Type", sitetest.FormType); a.Body != "next" {
		t.Errorf("the first site publishes: %d %s", a.Status, a.Body)
	}
	if a := s[1].Do("GET", "/events?userId=u1", ""); a.Body != "own" {
		t.Errorf("the second site subscribes: %d %s", a.Status, a.Body)
	}
	s[1].Publish("user", "u1", "data", "still")
	c.Want("still")
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
			s := sitetest.Serve(t, directive("/a", "main")+directive("/b", second)+`respond "next"`)
			a, b := s.Open("/a/events?userId=u1&topic=room"), s.Open("/b/events?userId=u1&topic=room")
			id := ""
			targets := []string{"user=u1", "topic=room", "broadcast=1", "connection=" + a.Connected.Connection}
			for _, target := range targets {
				id = sitetest.IDOf(t, s.Do("POST", "/a/_sse/publish", target+"&data="+target[:3], "Content-Type", sitetest.FormType))
				a.Want(target[:3])
				if second == "main" && target[:3] != "con" {
					b.Want(target[:3])
				}
			}
			sitetest.IDOf(t, s.Do("POST", "/b/_sse/publish", "user=u1&data=b", "Content-Type", sitetest.FormType))
			b.Want("b") // and nothing of the other hub before it
			if second == "main" {
				a.Want("b")
				s.Resume("/b/events?userId=u1", id).Want("b")
				return
			}
			s.Resume("/b/events?userId=u1", id).WantGap("unknown")
			if n := sitetest.Get[sitetest.ConnectionList](s, "/a/_sse/connections").Total; n != 1 {
				t.Errorf("the first hub has %d connections", n)
			}
			sitetest.IDOf(t, s.Do("POST", "/a/_sse/publish", "user=u1&data=a", "Content-Type", sitetest.FormType))
			a.Want("a")
		})
	}
}

// JSON works without a Caddyfile, and its contradictions are found as well.
func TestJSONConfig(t *testing.T) {
	s := sitetest.NewSite(t, "")
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
			s.Addr, strings.Join(handlers, ","))
	}
	err := caddy.Load(config(handler(`, "users": [{"source": "query", "name": "userId"}], "topics": ["user/{user}/*"],
		"internal": {"prefix": "/_sse", "allow": ["loopback"]}`)), false)
	if err != nil {
		t.Fatal(err)
	}
	c := s.Open("/events?userId=u1&topic=user/u1/orders")
	s.Publish("user", "u1", "data", "to the user")
	s.Publish("topic", "user/u1/orders", "data", "to the topic")
	c.Want("to the user", "to the topic")
	c.Close()
	s.HTTP.CloseIdleConnections()

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
	s := sitetest.Serve(t, `sse_push {
		internal /_sse {
			token s3cret-of-this-test
		}
	}`)
	for range 5 {
		s.Post(sitetest.FormType, "broadcast=1", "Authorization", "Bearer wr0ng-of-this-test")
	}
	log := s.Log()
	if n := strings.Count(log, "127.0.0.1 refused"); n != 1 || strings.Contains(log, "of-this-test") || !strings.Contains(log, "wrong token") {
		t.Errorf("got %d lines in\n%s", n, log)
	}
}
