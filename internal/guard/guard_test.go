package guard

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

const (
	here    = "127.0.0.1:5000"
	nearby  = "172.18.0.3:5000"
	outside = "203.0.113.9:5000"
)

// newTestGuard's clock stands still until it is moved.
func newTestGuard(t *testing.T, in *Internal) (*Guard, *time.Time, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	g, err := New(in, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_700_000_000, 0)
	g.now = func() time.Time { return now }
	return g, &now, logs
}

func guardRequest(remote string, headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "http://app.example.com/_sse/publish", nil)
	r.RemoteAddr = remote
	// As a site of that name has it.
	server := &caddyhttp.Server{Routes: caddyhttp.RouteList{{MatcherSets: caddyhttp.MatcherSets{{&caddyhttp.MatchHost{"app.example.com"}}}}}}
	ctx := context.WithValue(r.Context(), caddy.ReplacerCtxKey, caddy.NewReplacer())
	r = r.WithContext(context.WithValue(ctx, caddyhttp.ServerCtxKey, server))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
	}
	return r
}

func TestGuardCheck(t *testing.T) {
	const s1, s2 = "correct horse", "battery staple"
	bearer := func(s string) []string { return []string{"Authorization", "Bearer " + s} }
	var (
		token    = &Internal{Tokens: []string{s1, s2}}
		allow    = &Internal{Allow: []string{"loopback", "172.18.0.0/16"}}
		both     = &Internal{Tokens: []string{s1}, Allow: []string{"loopback", "203.0.113.9"}}
		withPage = &Internal{Allow: []string{"loopback"}, Origins: []string{"http://app.example.com", "https://admin.example.com"}}
		tlsPage  = &Internal{Allow: []string{"loopback"}, Origins: []string{"https://app.example.com"}}
		nullPage = &Internal{Allow: []string{"loopback"}, Origins: []string{"null"}}
		tokPage  = &Internal{Tokens: []string{s1}, Origins: []string{"http://app.example.com"}}
	)
	for _, c := range []struct {
		name    string
		in      *Internal
		remote  string
		headers []string
		status  int // 0: may pass
		detail  string
	}{
		{"token from nearby", token, nearby, bearer(s1), 0, ""},
		{"second token", token, nearby, bearer(s2), 0, ""},
		{"token from outside", token, outside, bearer(s1), 0, ""},
		{"token, forwarded", token, outside, append(bearer(s1), "X-Forwarded-For", "1.2.3.4"), 0, ""},
		{"token, scheme in lower case", token, nearby, []string{"Authorization", "bearer " + s1}, 0, ""},
		{"token, more space", token, nearby, []string{"Authorization", "Bearer   " + s1}, 0, ""},
		{"no token, here", token, here, nil, 401, "missing token: send Authorization: Bearer"},
		{"no token, nearby", token, nearby, nil, 401, "missing token"},
		{"wrong token, nearby", token, nearby, bearer("nope"), 401, "wrong token"},
		{"beginning of a token", token, nearby, bearer(s1[:5]), 401, "wrong token"},
		{"token and more", token, nearby, bearer(s1 + "x"), 401, "wrong token"},
		{"empty token", token, nearby, []string{"Authorization", "Bearer "}, 401, "wrong token"},
		{"scheme alone", token, nearby, []string{"Authorization", "Bearer"}, 401, "wrong token"},
		{"token without scheme", token, nearby, []string{"Authorization", s2}, 401, "wrong token"},
		{"basic", token, nearby, []string{"Authorization", "Basic " + s1}, 401, "wrong token"},
		{"right and wrong token", token, nearby, append(bearer(s1), bearer("nope")...), 401, "wrong token"},
		{"no token, outside", token, outside, nil, 404, ""},
		{"wrong token, outside", token, outside, bearer("nope"), 404, ""},
		{"wrong token, nearby, forwarded", token, nearby, append(bearer("nope"), "X-Forwarded-For", "1.2.3.4"), 404, ""},
		{"no token, unknown peer", token, "example.com:80", nil, 404, ""},

		{"allowed", allow, here, nil, 0, ""},
		{"allowed range", allow, nearby, nil, 0, ""},
		{"allowed, IPv6", allow, "[::1]:5000", nil, 0, ""},
		{"allowed, IPv4 in IPv6", allow, "[::ffff:172.18.0.3]:5000", nil, 0, ""},
		{"allowed, unix socket", allow, "@", nil, 0, ""},
		{"not allowed, though private", allow, "10.0.0.1:5000", nil, 404, ""},
		{"not allowed", allow, outside, nil, 404, ""},
		{"unknown peer", allow, "example.com:80", nil, 404, ""},
		{"Forwarded", allow, here, []string{"Forwarded", "for=1.2.3.4"}, 404, ""},
		{"X-Forwarded-For", allow, here, []string{"X-Forwarded-For", "127.0.0.1"}, 404, ""},
		{"X-Forwarded-For, empty", allow, here, []string{"X-Forwarded-For", ""}, 404, ""},
		{"X-Forwarded-Proto", allow, here, []string{"X-Forwarded-Proto", "https"}, 404, ""},
		{"X-Forwarded-Anything", allow, here, []string{"X-Forwarded-Anything", "x"}, 404, ""},
		{"X-Real-IP", allow, here, []string{"X-Real-IP", "127.0.0.1"}, 404, ""},
		{"Via", allow, here, []string{"Via", "1.1 x"}, 404, ""},
		{"CF-Connecting-IP", allow, here, []string{"CF-Connecting-IP", "127.0.0.1"}, 404, ""},
		{"CF-Ray", allow, here, []string{"CF-Ray", "x"}, 404, ""},
		{"names that only look alike", allow, here, []string{"Viable", "x", "X-Real", "x", "X-Client", "x", "Cfx", "x", "X-CDN", "x", "Deviate", "x", "X-Amz-Date", "x", "Traceparent", "x"}, 0, ""},

		{"both hold", both, here, bearer(s1), 0, ""},
		{"both hold, outside", both, outside, bearer(s1), 0, ""},
		{"both, token alone", both, nearby, bearer(s1), 404, ""},
		{"both, address alone", both, here, nil, 401, "missing token"},
		{"both, address alone, outside", both, outside, nil, 404, ""},
		{"both, wrong token", both, here, bearer("nope"), 401, "wrong token"},
		{"both, wrong token, address refused", both, nearby, bearer("nope"), 404, ""},
		{"both, forwarded", both, here, append(bearer(s1), "X-Forwarded-For", "1.2.3.4"), 404, ""},

		{"a name that was pointed here", allow, here, []string{"Host", "evil.example"}, 404, ""},
		{"the same with a port", allow, here, []string{"Host", "evil.example:8080"}, 404, ""},
		{"the same with a dot", allow, here, []string{"Host", "evil.example."}, 404, ""},
		{"one that looks like a site", allow, here, []string{"Host", "app.example.com.evil.example"}, 404, ""},
		{"one that looks like an address", allow, here, []string{"Host", "127.0.0.1.evil.example"}, 404, ""},
		{"one that looks local", allow, here, []string{"Host", "localhost.evil.example"}, 404, ""},
		{"the same, allowed by token", token, here, append(bearer(s1), "Host", "evil.example"), 0, ""},
		{"the same, by both", both, here, append(bearer(s1), "Host", "evil.example"), 0, ""},
		{"the same, from a listed page", withPage, here, []string{"Host", "other.example", "Origin", "https://admin.example.com"}, 0, ""},
		{"localhost", allow, here, []string{"Host", "LocalHost:8080"}, 0, ""},
		{"below localhost", allow, here, []string{"Host", "push.localhost"}, 0, ""},
		{"an address", allow, here, []string{"Host", "127.0.0.1:8080"}, 0, ""},
		{"an IPv6 address", allow, here, []string{"Host", "[::1]"}, 0, ""},
		{"an IPv6 address with a port", allow, here, []string{"Host", "[::1]:8080"}, 0, ""},
		{"a container", allow, nearby, []string{"Host", "caddy:8080"}, 0, ""},
		{"a container's host", allow, nearby, []string{"Host", "host.docker.internal"}, 0, ""},
		{"a service of a cluster", allow, nearby, []string{"Host", "caddy.default.svc.cluster.local:8080"}, 0, ""},
		{"a site, however it is written", allow, here, []string{"Host", "APP.example.com"}, 0, ""},

		{"browser", allow, here, []string{"Origin", "http://app.example.com"}, 404, ""},
		{"browser, navigation", allow, here, []string{"Sec-Fetch-Site", "none"}, 404, ""},
		{"browser, same origin", allow, here, []string{"Sec-Fetch-Site", "same-origin"}, 404, ""},
		{"browser with a token", token, here, append(bearer(s1), "Origin", "http://app.example.com"), 404, ""},
		{"browser without a token", token, here, []string{"Origin", "http://app.example.com"}, 404, ""},
		{"browser, empty Origin", withPage, here, []string{"Origin", ""}, 404, ""},
		{"listed origin", withPage, here, []string{"Origin", "http://app.example.com", "Sec-Fetch-Site", "same-origin"}, 0, ""},
		{"listed origin, other site", withPage, here, []string{"Origin", "https://admin.example.com", "Sec-Fetch-Site", "cross-site"}, 0, ""},
		{"other origin", withPage, here, []string{"Origin", "http://evil.example"}, 404, ""},
		{"other scheme", withPage, here, []string{"Origin", "https://app.example.com"}, 404, ""},
		{"other port", withPage, here, []string{"Origin", "http://app.example.com:8080"}, 404, ""},
		{"other case", withPage, here, []string{"Origin", "http://App.example.com"}, 404, ""},
		{"two origins", withPage, here, []string{"Origin", "http://app.example.com", "Origin", "http://evil.example"}, 404, ""},
		{"null origin", withPage, here, []string{"Origin", "null"}, 404, ""},
		{"null origin, though listed", nullPage, here, []string{"Origin", "null"}, 404, ""},
		{"no Origin, listed host", withPage, here, []string{"Sec-Fetch-Site", "same-origin"}, 0, ""},
		{"no Origin, listed host, proxy ended TLS", tlsPage, here, []string{"Sec-Fetch-Site", "same-origin"}, 0, ""},
		{"no Origin, same site", withPage, here, []string{"Sec-Fetch-Site", "same-site"}, 404, ""},
		{"no Origin, cross site", withPage, here, []string{"Sec-Fetch-Site", "cross-site"}, 404, ""},
		{"no Origin, navigation", withPage, here, []string{"Sec-Fetch-Site", "none"}, 404, ""},
		{"other origin in spite of same-origin", withPage, here, []string{"Origin", "http://evil.example", "Sec-Fetch-Site", "same-origin"}, 404, ""},
		{"listed origin, address refused", withPage, nearby, []string{"Origin", "http://app.example.com"}, 404, ""},
		{"listed origin and token", tokPage, outside, append(bearer(s1), "Origin", "http://app.example.com"), 0, ""},
		{"listed origin, no token", tokPage, here, []string{"Origin", "http://app.example.com"}, 401, "missing token"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, _, logs := newTestGuard(t, c.in)
			p := g.Check(guardRequest(c.remote, c.headers...))
			if c.status == 0 {
				if p != nil {
					t.Fatalf("refused: %v", p)
				}
				if logs.Len() != 0 {
					t.Errorf("logged %v", logs.All())
				}
				return
			}
			if p == nil {
				t.Fatalf("passed, want %d", c.status)
			}
			if p.Status != c.status || !strings.Contains(p.Detail, c.detail) {
				t.Errorf("%v, want %d with %q", p, c.status, c.detail)
			}
			if p.Status == 404 && (p.Detail != "" || p.Field != "") {
				t.Errorf("gives the route away: %v", p)
			}
			if logs.Len() != 1 || logs.All()[0].Level != zapcore.WarnLevel {
				t.Errorf("logged %v, want one warning", logs.All())
			}
		})
	}
}

// A page's own origin is the one of the connection it came by.
func TestGuardSameOriginOverTLS(t *testing.T) {
	for origin, pass := range map[string]bool{"https://app.example.com": true, "http://app.example.com": false} {
		g, _, _ := newTestGuard(t, &Internal{Allow: []string{"loopback"}, Origins: []string{origin}})
		r := guardRequest(here, "Sec-Fetch-Site", "same-origin")
		r.TLS = new(tls.ConnectionState)
		if p := g.Check(r); (p == nil) != pass {
			t.Errorf("%s listed: %v", origin, p)
		}
	}
}

func TestGuardLog(t *testing.T) {
	g, now, logs := newTestGuard(t, &Internal{Tokens: []string{"correct horse"}, Allow: []string{"loopback"}})
	stranger := guardRequest(nearby, "Authorization", "Bearer s3cret", "User-Agent", "spy-agent")
	forged := guardRequest(here, "Authorization", "Bearer s3cret", "X-Forwarded-For", "198.51.100.77")
	liar := guardRequest(here, "Authorization", "Bearer s3cret")
	page := guardRequest(here, "Authorization", "Bearer s3cret", "Origin", "http://evil.example")
	nobody := guardRequest("x", "Authorization", "Bearer s3cret")
	for range 3 {
		for _, r := range []*http.Request{stranger, forged, liar, page} {
			g.Check(r)
		}
	}
	want := []struct{ message, peer, reason string }{
		{`peer 172.18.0.3 refused; add "allow 172.18.0.3"`, "172.18.0.3", "peer not in allow"},
		{`peer 127.0.0.1 refused; "allow" does not admit forwarded requests`, "127.0.0.1", "forwarded request"},
		{`peer 127.0.0.1 refused; wrong token`, "127.0.0.1", "wrong token"},
		{`peer 127.0.0.1 refused; add "origins"`, "127.0.0.1", "request from a browser"},
	}
	entries := logs.TakeAll()
	if len(entries) != len(want) {
		t.Fatalf("logged %d entries, want one a reason: %v", len(entries), entries)
	}
	for i, w := range want {
		e := entries[i]
		fields := e.ContextMap()
		if !strings.HasPrefix(e.Message, w.message) || fields["peer"] != w.peer || fields["reason"] != w.reason || len(fields) != 2 {
			t.Errorf("logged %q %v, want %q with peer %s and reason %s", e.Message, fields, w.message, w.peer, w.reason)
		}
		all := e.Message + " " + fields["peer"].(string) + fields["reason"].(string)
		for _, secret := range []string{"s3cret", "horse", "spy-agent", "198.51.100.77", "evil"} {
			if strings.Contains(all, secret) {
				t.Errorf("%q stands in the log: %s", secret, all)
			}
		}
	}

	*now = now.Add(time.Minute - time.Nanosecond)
	g.Check(stranger)
	if logs.Len() != 0 {
		t.Errorf("logged again within the minute: %v", logs.All())
	}
	*now = now.Add(time.Nanosecond)
	g.Check(nobody)
	g.Check(stranger)
	if entries := logs.TakeAll(); len(entries) != 1 || entries[0].ContextMap()["peer"] != "unknown" {
		t.Errorf("logged %v, want one entry about an unknown peer", entries)
	}
}

func TestNewGuardErrors(t *testing.T) {
	for _, c := range []struct {
		in   Internal
		want string
	}{
		{Internal{}, "internal needs token, allow, or both"},
		{Internal{Origins: []string{"https://a.example"}}, "internal needs token, allow, or both"},
		{Internal{Tokens: []string{""}}, "token must not be empty"},
		{Internal{Tokens: []string{" \n"}, Allow: []string{"loopback"}}, "token must not be empty"},
		{Internal{Tokens: []string{"a", ""}}, "token must not be empty (number 2 of 2)"},
		{Internal{Tokens: []string{"a\nb"}}, "token must not hold control characters"},
		{Internal{Allow: []string{"everyone"}}, `allow: "everyone" must be`},
	} {
		g, err := New(&c.in, zap.NewNop())
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%+v: %v, %v; want %q", c.in, g, err, c.want)
		}
	}
}

// A secret read from a file often ends in a newline.
func TestGuardTrimsTokens(t *testing.T) {
	g, _, _ := newTestGuard(t, &Internal{Tokens: []string{"secret\n"}})
	if p := g.Check(guardRequest(outside, "Authorization", "Bearer secret")); p != nil {
		t.Error(p)
	}
}
