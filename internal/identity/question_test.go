package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// The app sees the listed cookies and headers, and nothing else.
func TestAuthorizeQuestion(t *testing.T) {
	var got *http.Request
	target := app(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Clone(context.Background())
		w.Header().Set("X-SSE-User", "u1")
		w.Header().Set("X-SSE-Expires", "60")
	})
	v := authorizerOf(t, Authorize{Target: target, Cookies: []string{"PHPSESSID"}, Headers: []string{"authorization", "x-app"}})
	r := asClient("a=b; PHPSESSID=s1; PHPSESSIDX=no; c=d", "Authorization", "Bearer t", "X-App", "1", "X-Other", "no",
		"X-SSE-User", "admin", "X-SSE-Topics", "**", "X-Forwarded-For", "10.0.0.1", "Accept-Encoding", "gzip")
	start := time.Now()
	g, err := v.verify(arriving(r, url.Values{"topic": {"b", "a\n", "a"}, "ticket": {"no"}}, "/events"))
	if err != nil {
		t.Fatal(err)
	}
	if left := g.Expires.Sub(start); left < 59*time.Second || left > 61*time.Second {
		t.Errorf("expires in %s", left)
	}
	if got.Method != http.MethodGet || got.RequestURI != "/whoami" {
		t.Errorf("asked %s %s", got.Method, got.RequestURI)
	}
	for name, want := range map[string]string{
		"Cookie": "PHPSESSID=s1", "Authorization": "Bearer t", "X-App": "1", "Accept": "application/json", "X-Sse-Topics": `["a","b"]`,
		"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Host": "site.example", "X-Forwarded-Proto": "http", "X-Sse-User": "", "X-Other": "",
	} {
		if lines := strings.Join(got.Header[name], "|"); lines != want {
			t.Errorf("%s: got %q, want %q", name, lines, want)
		}
	}
	got = nil
	if g, err := v.verify(arriving(asClient("a=b", "X-Other", "x"), nil, "/events")); g != nil || err != nil || got != nil {
		t.Error("a client that sends nothing for the app counts as absent, and costs no question")
	}
	if _, err := v.verify(arriving(asClient("PHPSESSID="+strings.Repeat("a", maxAsked)), nil, "/events")); err == nil || got != nil {
		t.Error("the app was asked about a cookie without end")
	}
}

// The answer to one question is not given to another.
func TestAuthorizeKeepsApart(t *testing.T) {
	var asked atomic.Int64
	v := authorizerOf(t, Authorize{Cookies: []string{"id"}, Headers: []string{"X-App"}, Target: app(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-SSE-User", fmt.Sprint("u", asked.Add(1)))
	})})
	type ask struct {
		r      *http.Request
		topics []string
		route  string
	}
	from := func(r *http.Request, addr, host string) *http.Request {
		r.RemoteAddr, r.Host = addr, host
		return r
	}
	different := []ask{
		{r: asClient("id=1"), route: "/a"},
		{r: asClient("id=2"), route: "/a"},
		{r: asClient("id=1"), route: "/b"},
		{r: asClient("id=1"), route: "/a", topics: []string{"t"}},
		{r: asClient("id=1"), route: "/a", topics: []string{"t", "u"}},
		{r: asClient("id=1; id=2"), route: "/a"},
		{r: asClient("", "X-App", "id=1"), route: "/a"},
		{r: asClient("id=1", "X-App", "1"), route: "/a"},
		{r: asClient("id=1", "X-App", "1", "X-App", "2"), route: "/a"},
		{r: from(asClient("id=1"), "192.0.2.7:1", "site.example"), route: "/a"},
		{r: from(asClient("id=1"), "192.0.2.1:1", "other.example"), route: "/a"},
	}
	for round := range 2 {
		for i, a := range different {
			g, err := v.verify(arriving(a.r, url.Values{"topic": a.topics}, a.route))
			if err != nil || g.User != fmt.Sprint("u", i+1) {
				t.Errorf("round %d, %d: got %+v, %v", round, i, g, err)
			}
		}
	}
	same := from(asClient("x=9; id=1", "Last-Event-Id", "p7"), "192.0.2.1:999", "site.example")
	if g, _ := v.verify(arriving(same, url.Values{"topic": {"u", "t"}}, "/a")); g.User != "u5" {
		t.Errorf("the same in another order: got %+v", g)
	}
	v.forgetUser("u1")
	if g, _ := v.verify(arriving(different[0].r, nil, "/a")); g.User != "u12" {
		t.Errorf("after a purge: got %+v", g)
	}
	if g, _ := v.verify(arriving(different[1].r, nil, "/a")); g.User != "u2" {
		t.Errorf("another's purge: got %+v", g)
	}
}

// Questions differ by all that the site's handlers can see of a connection, except for what differs between two connections of
// one client.
func TestAuthorizeKeepsConnectionsApart(t *testing.T) {
	const path = "/whoami"
	var asked atomic.Int64
	site := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-SSE-User", fmt.Sprint("u", asked.Add(1)))
	})
	type client struct {
		peer, local string
		tls         *tls.ConnectionState
		forwarded   string
	}
	request := func(c client) *http.Request {
		r := asClient("id=1", "CF-Connecting-IP", c.forwarded)
		r.RemoteAddr, r.TLS = c.peer, c.tls
		local, err := net.ResolveTCPAddr("tcp", c.local)
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.WithValue(r.Context(), http.LocalAddrContextKey, local)
		ctx = context.WithValue(ctx, caddyhttp.VarsCtxKey, map[string]any{caddyhttp.ClientIPVarKey: "203.0.113.9"})
		return r.WithContext(context.WithValue(ctx, caddyhttp.ServerCtxKey, http.Handler(site)))
	}
	cert := func(raw string) []*x509.Certificate { return []*x509.Certificate{{Raw: []byte(raw)}} }
	different := []client{
		{peer: "192.0.2.1:1000", local: "192.0.2.9:443"},
		{peer: "192.0.2.2:1000", local: "192.0.2.9:443"},
		{peer: "[2001:db8::1]:1000", local: "192.0.2.9:443"},
		{peer: "192.0.2.1:1000", local: "192.0.2.8:443"},
		{peer: "192.0.2.1:1000", local: "192.0.2.9:8443"},
		{peer: "192.0.2.1:1000", local: "192.0.2.9:443", tls: &tls.ConnectionState{}},
		{peer: "192.0.2.1:1000", local: "192.0.2.9:443", tls: &tls.ConnectionState{ServerName: "a.example"}},
		{peer: "192.0.2.1:1000", local: "192.0.2.9:443", tls: &tls.ConnectionState{NegotiatedProtocol: "a.example"}},
		{peer: "192.0.2.1:1000", local: "192.0.2.9:443", tls: &tls.ConnectionState{PeerCertificates: cert("ann's")}},
		{peer: "192.0.2.1:1000", local: "192.0.2.9:443", tls: &tls.ConnectionState{PeerCertificates: cert("ben's")}},
		{peer: "192.0.2.1:1000", local: "192.0.2.9:443", tls: &tls.ConnectionState{PeerCertificates: append(cert("ben's"), cert("ca")...)}},
	}
	v := authorizerOf(t, Authorize{Target: path})
	for round := range 2 {
		for i, c := range different {
			if g, err := v.verify(arriving(request(c), nil, "/events")); err != nil || g.User != fmt.Sprint("u", i+1) {
				t.Errorf("round %d, %d: got %+v, %v", round, i, g, err)
			}
		}
	}
	again := different[8]
	again.peer = "192.0.2.1:1001"
	again.tls = &tls.ConnectionState{PeerCertificates: cert("ann's"), DidResume: true, TLSUnique: []byte("another")}
	if g, err := v.verify(arriving(request(again), nil, "/events")); err != nil || g.User != "u9" {
		t.Errorf("another connection of one client: got %+v, %v", g, err)
	}

	// An app that is asked over the network sees nothing of a connection.
	overNetwork := authorizerOf(t, Authorize{Target: app(t, site)})
	for _, i := range []int{0, 1, 3} {
		if g, err := overNetwork.verify(arriving(request(different[i]), nil, "/events")); err != nil || g.User != "u12" {
			t.Errorf("over the network, %d: got %+v, %v", i, g, err)
		}
	}
}

// No instruction to the proxy is sent to the app, in any spelling that an app could take for one.
func TestAuthorizeHeadersRefused(t *testing.T) {
	for _, name := range []string{"X-SSE-User", "x-sse-topics", "X_SSE_User", "X.Sse-Question", "Cookie", "Host", "X-Forwarded-For", "a b"} {
		if err := (&Authorize{Target: "/whoami", Headers: []string{name}}).Check(); err == nil || !strings.Contains(err.Error(), "cannot be forwarded") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
