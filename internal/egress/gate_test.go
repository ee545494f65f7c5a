package egress

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// names is a DNS server. Each name has lists of addresses; each question for it takes the next, and the last one stays.
type names struct {
	mu     sync.Mutex // guards answer
	answer map[string][][]string
}

func (n *names) next(name string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	lists := n.answer[name]
	if len(lists) == 0 {
		return nil
	}
	if len(lists) > 1 {
		n.answer[name] = lists[1:]
	}
	return lists[0]
}

// resolver returns a resolver that asks the server.
func (n *names) resolver(t *testing.T) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 4096)
		for {
			size, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:size]) != nil || len(m.Questions) != 1 {
				continue
			}
			m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
			q := m.Questions[0]
			if q.Type == dnsmessage.TypeA { // each name is asked for once by each type; the lists are taken by one of them
				for _, text := range n.next(strings.TrimSuffix(q.Name.String(), ".")) {
					if addr := netip.MustParseAddr(text); addr.Is4() {
						m.Answers = append(m.Answers, dnsmessage.Resource{
							Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 1},
							Body:   &dnsmessage.AResource{A: addr.As4()},
						})
					}
				}
			}
			if out, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(out, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func mustParse(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := ParseURL(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func mustGate(t *testing.T, resolver *net.Resolver, origins ...Origin) *Gate {
	t.Helper()
	g, err := newGate(origins, resolver)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

func get(t *testing.T, g *Gate, raw string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	resp, err := g.Send(ctx, &Request{Method: http.MethodGet, URL: mustParse(t, raw)})
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.Status + " " + string(b), err
}

func serve(t *testing.T, h http.HandlerFunc) (port string) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL[strings.LastIndex(server.URL, ":"):]
}

func hello(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }

// A name that leads to a private address needs private; one that leads to an address that is closed gets nothing at all.
func TestNamesThatLeadInside(t *testing.T) {
	port := serve(t, hello)
	dns := &names{answer: map[string][][]string{
		"inside.test": {{"127.0.0.1"}}, "metadata.test": {{"169.254.169.254"}}, "both.test": {{"169.254.169.254", "127.0.0.1"}}, "none.test": {{"0.0.0.0"}},
	}}
	resolver := dns.resolver(t)
	var public, private []Origin
	for _, host := range []string{"inside.test", "metadata.test", "both.test", "none.test", "127.0.0.1"} {
		public = append(public, Origin{URL: "http://" + host + port})
		private = append(private, Origin{URL: "http://" + host + port, Private: true})
	}
	open, marked := mustGate(t, resolver, public...), mustGate(t, resolver, private...)
	for host, reached := range map[string]bool{
		"inside.test": true, "metadata.test": false, "both.test": true, "none.test": false, "127.0.0.1": true,
	} {
		if got, err := get(t, open, "http://"+host+port); !errors.Is(err, errRefused) || Unsent(err) {
			t.Errorf("%s: %q, %v", host, got, err)
		}
		switch got, err := get(t, marked, "http://"+host+port); {
		case reached && (err != nil || got != "200 OK hello"):
			t.Errorf("%s, private: %q, %v", host, got, err)
		case !reached && !errors.Is(err, errRefused):
			t.Errorf("%s, private: %q, %v", host, got, err)
		}
	}
}

// A name that leads elsewhere the next time is checked again.
func TestNameThatLeadsElsewhere(t *testing.T) {
	port := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		hello(w, r)
	})
	dns := &names{answer: map[string][][]string{"moves.test": {{"127.0.0.1"}, {"169.254.169.254"}}}}
	g := mustGate(t, dns.resolver(t), Origin{URL: "http://moves.test" + port, Private: true})
	if got, err := get(t, g, "http://moves.test"+port); err != nil || got != "200 OK hello" {
		t.Fatalf("%q, %v", got, err)
	}
	if got, err := get(t, g, "http://moves.test"+port); !errors.Is(err, errRefused) {
		t.Errorf("%q, %v", got, err)
	}
}

// Only the exact origin counts.
func TestOnlyListedOrigins(t *testing.T) {
	port, other := serve(t, hello), serve(t, hello)
	g := mustGate(t, nil, Origin{URL: "http://127.0.0.1" + port, Private: true})
	for raw, listed := range map[string]bool{
		"http://127.0.0.1" + port: true, "HTTP://127.0.0.1" + port + "/a?b": true,
		"http://127.0.0.1" + other: false, "https://127.0.0.1" + port: false, "http://localhost" + port: false, "http://127.0.0.1": false, "http://127.0.0.2" + port: false,
	} {
		if g.Leads(mustParse(t, raw)) != listed {
			t.Errorf("%s: listed is not %t", raw, listed)
		}
		if _, err := get(t, g, raw); (err == nil) != listed || !listed && !errors.Is(err, ErrNoOrigin) {
			t.Errorf("%s: %v", raw, err)
		}
	}
	if _, err := NewGate([]Origin{{URL: "http://a.example"}, {URL: "HTTP://a.example:80/"}}); err == nil {
		t.Error("an origin may be given twice")
	}
	if _, err := NewGate([]Origin{{URL: "nowhere"}}); err == nil {
		t.Error("an origin may be no URL")
	}
}

// A redirect is an answer like others: the headers of the config go nowhere else.
func TestRedirectIsNotFollowed(t *testing.T) {
	followed := false
	other := serve(t, func(http.ResponseWriter, *http.Request) { followed = true })
	for _, status := range []int{301, 302, 303, 307, 308} {
		port := serve(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1"+other, status)
		})
		g := mustGate(t, nil, Origin{URL: "http://127.0.0.1" + port, Private: true}, Origin{URL: "http://127.0.0.1" + other, Private: true})
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			resp, err := g.Send(t.Context(), &Request{Method: method, URL: mustParse(t, "http://127.0.0.1"+port), Body: []byte("{}")})
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != status || followed {
				t.Errorf("%s, %d: got %d, followed %t", method, status, resp.StatusCode, followed)
			}
		}
	}
}

// The environment's proxy is not used, nor is compression asked for. The config's headers stand above the call's.
func TestWhatIsSent(t *testing.T) {
	var proxied bool
	proxy := serve(t, func(http.ResponseWriter, *http.Request) { proxied = true })
	t.Setenv("HTTP_PROXY", "http://127.0.0.1"+proxy)
	t.Setenv("http_proxy", "http://127.0.0.1"+proxy)
	var got *http.Request
	var body []byte
	port := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
	})
	dns := &names{answer: map[string][][]string{"app.test": {{"127.0.0.1"}}}}
	g := mustGate(t, dns.resolver(t), Origin{URL: "http://app.test" + port, Private: true, Headers: []Header{{"authorization", "Bearer key"}}})
	u := mustParse(t, "http://APP.test"+port+"/v1/a%2Fb?c=d")
	if !g.Sets(u, "Authorization") || g.Sets(u, "X-Mine") {
		t.Error("the gate does not know which headers are the config's")
	}
	resp, err := g.Send(t.Context(), &Request{Method: http.MethodPost, URL: u, Body: []byte(`{"a":1}`), Headers: map[string]string{
		"Content-Type": "application/json", "x-mine": "{env.HOME}", "Authorization": "Bearer other",
	}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if proxied {
		t.Error("the request went through a proxy")
	}
	if got.Method != http.MethodPost || got.RequestURI != "/v1/a%2Fb?c=d" || got.Host != "app.test"+port || got.ContentLength != 7 || string(body) != `{"a":1}` {
		t.Errorf("got %s %s, Host %s, %d bytes: %s", got.Method, got.RequestURI, got.Host, got.ContentLength, body)
	}
	for name, want := range map[string][]string{
		"Authorization": {"Bearer key"}, "X-Mine": {"{env.HOME}"}, "Accept-Encoding": {"identity"}, "User-Agent": {userAgent}, "Content-Type": {"application/json"},
	} {
		if !slices.Equal(got.Header[name], want) {
			t.Errorf("%s: %q, want %q", name, got.Header[name], want)
		}
	}
	if _, err := g.Send(t.Context(), &Request{Method: http.MethodDelete, URL: u}); err == nil {
		t.Error("DELETE is sent")
	}
}

// A compressed answer comes as it is, for the caller to refuse.
func TestAnswerIsNotDecoded(t *testing.T) {
	port := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = io.WriteString(w, "\x1f\x8b")
	})
	g := mustGate(t, nil, Origin{URL: "http://127.0.0.1" + port, Private: true})
	if got, err := get(t, g, "http://127.0.0.1"+port); err != nil || got != "200 OK \x1f\x8b" {
		t.Errorf("%q, %v", got, err)
	}
}

// An answer's headers are bounded.
func TestLongAnswerHeaders(t *testing.T) {
	port := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Long", strings.Repeat("a", 2*maxAnswerHeader))
	})
	g := mustGate(t, nil, Origin{URL: "http://127.0.0.1" + port, Private: true})
	if _, err := get(t, g, "http://127.0.0.1"+port); err == nil {
		t.Error("headers of any length are read")
	}
}

// Certificates are verified, for the host of the URL.
func TestCertificateIsVerified(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(hello))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains about the handshake
	server.StartTLS()
	t.Cleanup(server.Close)
	g := mustGate(t, nil, Origin{URL: server.URL, Private: true})
	var unknown x509.UnknownAuthorityError
	if _, err := get(t, g, server.URL); !errors.As(err, &unknown) {
		t.Errorf("%v", err)
	}
}

// What the config keeps secret is in no text that an upstream repeats.
func TestHide(t *testing.T) {
	g := mustGate(t, nil, Origin{URL: "https://a.example", Headers: []Header{
		{"X-Key", "sk-01234567"}, {"Authorization", "Bearer sk-0123456789"}, {"X-Slash", "ab/cd+ef/gh="}, {"X-Version", "2"}, {"accept", "text/event-stream"},
	}})
	for _, c := range []struct{ url, in, want string }{
		{"https://a.example/x", `{"error":"no such key: sk-0123456789 (2)"}`, `{"error":"no such key: [hidden] (2)"}`},
		{"https://a.example/x", "Bearer sk-0123456789, sk-0123456789", "Bearer [hidden], [hidden]"},
		{"https://a.example/x", "sk-01234567 sk-0123456789", "[hidden] [hidden]"}, // one begins the other
		{"https://a.example/x", `{"key":"ab\/cd+ef\/gh="} ab/cd+ef/gh=`, `{"key":"[hidden]"} [hidden]`},
		{"https://a.example/x", "text/event-stream", "text/event-stream"}, // what the header is for is no secret
		{"https://b.example/x", "sk-0123456789", "sk-0123456789"},
	} {
		if got := g.Hide(mustParse(t, c.url), c.in); got != c.want {
			t.Errorf("%s: got %q, want %q", c.url, got, c.want)
		}
	}
}
