package mercure_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// How a token is presented: a Bearer header wins over cookies, nothing may be given twice, and a cookie publishes for listed pages only.
func TestPresenting(t *testing.T) {
	s := serve(t, "")
	mayPublish, mayHear := accessToken(publisher, "publish", topic), accessToken(subscriber, "subscribe", topic)
	legacy := legacyToken(legacyPublisher, "publish", topic)
	form, target := "data=x&topic="+url.QueryEscape(topic), hub+"?match="+url.QueryEscape(topic)
	for _, c := range []struct {
		name      string
		method    string
		headers   []string
		status    int
		challenge string
	}{
		{"nothing", "POST", nil, 401, `Bearer resource_metadata="https://hub.example.com/.well-known/oauth-protected-resource/.well-known/mercure"`},
		{"nothing", "GET", nil, 401, `Bearer resource_metadata="https://hub.example.com/.well-known/oauth-protected-resource/.well-known/mercure"`},
		{"another scheme", "POST", []string{"Authorization", "Basic " + mayPublish}, 401, "Bearer resource_metadata="},
		{"another scheme beside the cookie", "GET", []string{"Authorization", "Basic eDp5", "Cookie", cookie + "=" + mayHear}, 200, ""},
		{"a bad header beside a good cookie", "GET", []string{"Authorization", "Bearer x", "Cookie", cookie + "=" + mayHear}, 401, "invalid_token"},
		{"an empty header beside a good cookie", "GET", []string{"Authorization", "Bearer ", "Cookie", cookie + "=" + mayHear}, 401, ""},
		{"a good header beside a bad cookie", "GET", []string{"Authorization", "Bearer " + mayHear, "Cookie", cookie + "=x"}, 200, ""},
		{"two headers", "GET", []string{"Authorization", "Bearer " + mayHear, "Authorization", "Bearer " + mayHear}, 400, "invalid_request"},
		{"two cookies", "GET", []string{"Cookie", cookie + "=" + mayHear + "; " + cookie + "=x"}, 400, "invalid_request"},
		{"a cookie in quotes", "GET", []string{"Cookie", cookie + `="` + mayHear + `"`}, 200, ""},
		{"the cookie of the other version", "GET", []string{"Cookie", legacyCookie + "=" + mayHear}, 401, ""},
		{"the cookie's name in capitals", "GET", []string{"Cookie", strings.ToUpper(cookie) + "=" + mayHear}, 401, ""},

		{"a cookie from a listed page", "POST", []string{"Cookie", cookie + "=" + mayPublish, "Origin", page}, 200, ""},
		{"a cookie from a listed page by Referer", "POST", []string{"Cookie", cookie + "=" + mayPublish, "Referer", page + "/chat?x"}, 200, ""},
		{"a cookie of 0.x from a listed page", "POST", []string{"Cookie", legacyCookie + "=" + legacy, "Origin", page}, 200, ""},
		{"a cookie from nowhere", "POST", []string{"Cookie", cookie + "=" + mayPublish}, 403, ""},
		{"a cookie from another page", "POST", []string{"Cookie", cookie + "=" + mayPublish, "Origin", "https://evil.example.com"}, 403, ""},
		{"a cookie from another page that names a listed Referer", "POST",
			[]string{"Cookie", cookie + "=" + mayPublish, "Origin", "https://evil.example.com", "Referer", page}, 403, ""},
		{"a cookie from the hub's own host", "POST", []string{"Cookie", cookie + "=" + mayPublish, "Origin", s.URL}, 403, ""},
		{"a cookie from a sandbox", "POST", []string{"Cookie", cookie + "=" + mayPublish, "Origin", "null"}, 403, ""},
		{"a cookie from a host that begins alike", "POST", []string{"Cookie", cookie + "=" + mayPublish, "Referer", page + ".evil.example/"}, 403, ""},
		{"a cookie of 0.x from another page", "POST", []string{"Cookie", legacyCookie + "=" + legacy, "Origin", "https://evil.example.com"}, 403, ""},
		{"a bad cookie from another page", "POST", []string{"Cookie", cookie + "=x", "Origin", "https://evil.example.com"}, 403, ""},
		{"a header from another page", "POST", []string{"Authorization", "Bearer " + mayPublish, "Origin", "https://evil.example.com"}, 200, ""},
		{"a header beside a cookie from another page", "POST",
			[]string{"Authorization", "Bearer x", "Cookie", cookie + "=" + mayPublish, "Origin", page}, 401, "invalid_token"},
	} {
		var a answer
		if c.method == "POST" {
			a = post(t, s, form, c.headers...)
		} else {
			a = send(t, s, c.method, target, "", c.headers...)
		}
		if a.status != c.status || !strings.Contains(a.challenge, c.challenge) {
			t.Errorf("%s %s: got %d %q %s; want %d %q", c.method, c.name, a.status, a.challenge, a.body, c.status, c.challenge)
		}
	}
	if a := post(t, s, form); strings.Contains(a.challenge, "error=") {
		t.Errorf("without a token, the challenge has an error: %q", a.challenge)
	}
	legacyURL := "?authorization=" + legacy
	if a := send(t, s, "POST", hub+legacyURL, form, "Content-Type", "application/x-www-form-urlencoded"); a.status != 200 {
		t.Errorf("a token of 0.x in the URL: got %d", a.status)
	}
	if a := send(t, s, "POST", hub+"?authorization="+mayPublish, form, "Content-Type", "application/x-www-form-urlencoded"); a.status != 401 {
		t.Errorf("a token of 1.0 in the URL: got %d", a.status)
	}
}

// Nothing that a hub says of itself depends on the host name that a client sends.
func TestCatchAllHost(t *testing.T) {
	s := serve(t, "anonymous\ncookie_name token")
	const evil = "evil.example.com"
	form := "data=x&topic=" + url.QueryEscape(topic)
	if a := post(t, s, form, "Host", evil); strings.Contains(a.challenge+a.body, evil) || a.status != 401 {
		t.Errorf("got %d, challenge %q", a.status, a.challenge)
	}
	forEvil := sign(publisher, `{"alg":"HS256","typ":"at+jwt"}`, toJSON(with(accessClaims("publish", topic), claims{"aud": "https://" + evil + hub})))
	if a := post(t, s, form, "Host", evil, "Authorization", "Bearer "+forEvil); a.status != 401 {
		t.Errorf("a token for the host that the client names: got %d", a.status)
	}
	if a := post(t, s, form, "Host", evil, "Authorization", "Bearer "+accessToken(publisher, "publish", topic)); a.status != 200 {
		t.Errorf("a token for the hub: got %d", a.status)
	}
}

// A hub speaks only the versions that it has keys for.
func TestOneVersion(t *testing.T) {
	directive := func(hub, lines string) string {
		return "sse_push {\nhub " + hub + "\nmercure {\n" + lines + "\nanonymous\n}\n}"
	}
	sites := sitetest.ServeAll(t, directive("one", "publisher_jwt "+legacyPublisher),
		directive("two", "issuer "+issuer+" {\npublisher {\njwt "+publisher+"\n}\n}\nresource_identifier "+resource))
	legacyOnly, modernOnly := sites[0], sites[1]
	form := "data=x&topic=" + url.QueryEscape(topic)
	legacy, modern := legacyToken(legacyPublisher, "publish", "*"), accessToken(publisher, "publish", "*")
	q := url.QueryEscape(topic)

	if a := post(t, legacyOnly, form, "Authorization", "Bearer "+legacy); a.status != 200 {
		t.Errorf("0.x at 0.x: got %d", a.status)
	}
	// Signed with the key of the other version, which is the only one there.
	for name, token := range map[string]string{"its key": accessToken(legacyPublisher, "publish", "*"), "no key of it": modern} {
		if a := post(t, legacyOnly, form, "Authorization", "Bearer "+token); a.status != 401 || !strings.HasPrefix(a.kind, "text/plain") {
			t.Errorf("1.0 at 0.x, %s: got %d %s", name, a.status, a.kind)
		}
	}
	if a := send(t, legacyOnly, "GET", hub+"?match="+q, ""); a.status != 400 {
		t.Errorf("match at 0.x: got %d", a.status)
	}
	if a := send(t, legacyOnly, "GET", "/.well-known/oauth-protected-resource"+hub, ""); strings.Contains(a.body, "resource") {
		t.Errorf("a hub of 0.x has metadata: %s", a.body)
	}

	if a := post(t, modernOnly, form, "Authorization", "Bearer "+modern); a.status != 200 {
		t.Errorf("1.0 at 1.0: got %d", a.status)
	}
	for name, token := range map[string]string{"its key": legacyToken(publisher, "publish", "*"), "no key of it": legacy} {
		if a := post(t, modernOnly, form, "Authorization", "Bearer "+token); a.status != 401 || !strings.Contains(a.challenge, "invalid_token") {
			t.Errorf("0.x at 1.0, %s: got %d %q", name, a.status, a.challenge)
		}
	}
	if a := send(t, modernOnly, "GET", hub+"?topic="+q, ""); a.status != 400 {
		t.Errorf("topic at 1.0: got %d", a.status)
	}
	if a := post(t, modernOnly, form, "Cookie", legacyCookie+"="+legacy, "Origin", page); a.status != 401 {
		t.Errorf("the cookie of 0.x at 1.0: got %d", a.status)
	}
}
