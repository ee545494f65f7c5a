package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func authorizerOf(t *testing.T, config Authorize) *authorizer {
	t.Helper()
	if err := config.Check(); err != nil {
		t.Fatal(err)
	}
	return newAuthorizer(&config)
}

// arriving returns a request to a subscribe route as a verifier gets it.
func arriving(r *http.Request, params url.Values, route string) *Request {
	return &Request{Request: r, Params: params, Route: route}
}

// app is what an authorizer asks: a handler behind a URL.
func app(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL + "/whoami"
}

// asClient is a request of a client with a cookie; "" for none.
func asClient(cookie string, header ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "http://site.example/events", nil)
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

func TestAuthorizeAnswers(t *testing.T) {
	long := strings.Repeat("a", 256)
	for name, test := range map[string]struct {
		status        int
		header        http.Header
		user          string // "" for nobody
		topics        []string
		limit         int
		refused       int // the status; 0: for now
		public, cause string
	}{
		"a user":              {status: 200, header: http.Header{"X-Sse-User": {"u1"}}, user: "u1"},
		"204":                 {status: 204, header: http.Header{"X-Sse-User": {"u1"}}, user: "u1"},
		"topics":              {status: 200, header: http.Header{"X-Sse-User": {"u1"}, "X-Sse-Topics": {"a/b, c/*", "d"}}, user: "u1", topics: []string{"a/b", "c/*", "d"}},
		"topics as JSON":      {status: 200, header: http.Header{"X-Sse-User": {"u1"}, "X-Sse-Topics": {`["a, b", "c\/*"]`}}, user: "u1", topics: []string{"a, b", "c/*"}},
		"a limit":             {status: 200, header: http.Header{"X-Sse-User": {"u1"}, "X-Sse-Limit": {"2"}}, user: "u1", limit: 2},
		"nobody":              {status: 200},
		"nobody, in words":    {status: 200, header: http.Header{"X-Sse-User": {""}}},
		"401":                 {status: 401, header: http.Header{"X-Sse-User": {"u1"}}, refused: 401, public: "by the app", cause: "the app answered 401"},
		"403":                 {status: 403, refused: 403, public: "by the app", cause: "the app answered 403"},
		"a redirect":          {status: 302, header: http.Header{"X-Sse-User": {"u1"}, "Location": {"/login"}}, public: "authorize", cause: "redirect"},
		"an error":            {status: 500, header: http.Header{"X-Sse-User": {"u1"}}, public: "authorize", cause: "the app answered 500"},
		"nothing there":       {status: 404, header: http.Header{"X-Sse-User": {"u1"}}, public: "authorize", cause: "the app answered 404"},
		"two users":           {status: 200, header: http.Header{"X-Sse-User": {"u1", "u2"}}, public: "authorize", cause: "more than once"},
		"a tab in a user":     {status: 200, header: http.Header{"X-Sse-User": {"u\t1"}}, public: "authorize", cause: "control characters"},
		"a user not in UTF-8": {status: 200, header: http.Header{"X-Sse-User": {"u\xff"}}, public: "authorize", cause: "UTF-8"},
		"a user too long":     {status: 200, header: http.Header{"X-Sse-User": {long}}, public: "authorize", cause: "longer"},
		"too many topics":     {status: 200, header: http.Header{"X-Sse-User": {"u1"}, "X-Sse-Topics": {strings.Repeat("a,", 101)}}, public: "authorize", cause: "more than 100 topics"},
		"far too many topics": {status: 200, header: http.Header{"X-Sse-User": {"u1"}, "X-Sse-Topics": {strings.Repeat("a,", 20_000)}}, public: "authorize", cause: "more than 100 topics"},
		"a bad topic":         {status: 200, header: http.Header{"X-Sse-User": {"u1"}, "X-Sse-Topics": {"a*"}}, public: "authorize", cause: "must stand alone"},
		"broken JSON":         {status: 200, header: http.Header{"X-Sse-User": {"u1"}, "X-Sse-Topics": {`["a"`}}, public: "authorize", cause: "must be a JSON list"},
		"expires at a date":   {status: 200, header: http.Header{"X-Sse-User": {"u1"}, "X-Sse-Expires": {"Sat, 21 Nov 2026 13:00:00 GMT"}}, public: "authorize", cause: "X-SSE-Expires must be one whole number"},
		"expires as a stamp":  {status: 200, header: http.Header{"X-Sse-User": {"u1"}, "X-Sse-Expires": {"1800000000"}}, public: "authorize", cause: "X-SSE-Expires must be one whole number"},
		"expires at once":     {status: 200, header: http.Header{"X-Sse-User": {"u1"}, "X-Sse-Expires": {"0"}}, public: "authorize", cause: "X-SSE-Expires"},
		"a limit of none":     {status: 200, header: http.Header{"X-Sse-User": {"u1"}, "X-Sse-Limit": {"0"}}, public: "authorize", cause: "X-SSE-Limit"},
	} {
		t.Run(name, func(t *testing.T) {
			v := authorizerOf(t, Authorize{Target: app(t, func(w http.ResponseWriter, _ *http.Request) {
				for name, lines := range test.header {
					w.Header()[name] = lines
				}
				w.Header().Set("Set-Cookie", "session=stolen")
				w.WriteHeader(test.status)
			})})
			g, err := v.Verify(arriving(asClient("id=1"), nil, "/events"))
			wantRefusal(t, err, test.refused, test.public, test.cause)
			if test.user == "" {
				if g != nil {
					t.Errorf("got %+v", g)
				}
			} else if g == nil || g.User != test.user || !slices.Equal(g.Topics, test.topics) || g.Limit != test.limit {
				t.Errorf("got %+v", g)
			}
		})
	}
}

// What the app is shown, and what not.
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
	g, err := v.Verify(arriving(r, url.Values{"topic": {"b", "a\n", "a"}, "ticket": {"no"}}, "/events"))
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
	if g, err := v.Verify(arriving(asClient("a=b", "X-Other", "x"), nil, "/events")); g != nil || err != nil || got != nil {
		t.Error("who has nothing to show is absent, and costs no question")
	}
	if _, err := v.Verify(arriving(asClient("PHPSESSID="+strings.Repeat("a", maxAsked)), nil, "/events")); err == nil || got != nil {
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
			g, err := v.Verify(arriving(a.r, url.Values{"topic": a.topics}, a.route))
			if err != nil || g.User != fmt.Sprint("u", i+1) {
				t.Errorf("round %d, %d: got %+v, %v", round, i, g, err)
			}
		}
	}
	same := from(asClient("x=9; id=1", "Last-Event-Id", "p7"), "192.0.2.1:999", "site.example")
	if g, _ := v.Verify(arriving(same, url.Values{"topic": {"u", "t"}}, "/a")); g.User != "u5" {
		t.Errorf("the same in another order: got %+v", g)
	}
	v.forgetUser("u1")
	if g, _ := v.Verify(arriving(different[0].r, nil, "/a")); g.User != "u12" {
		t.Errorf("behind a purge: got %+v", g)
	}
	if g, _ := v.Verify(arriving(different[1].r, nil, "/a")); g.User != "u2" {
		t.Errorf("another's purge: got %+v", g)
	}
}

// Refusals and failures are not kept: who logs in gets in.
func TestAuthorizeForgetsRefusals(t *testing.T) {
	var status atomic.Int64
	v := authorizerOf(t, Authorize{Target: app(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-SSE-User", "u1")
		w.WriteHeader(int(status.Load()))
	})})
	for _, s := range []int64{401, 500, 200} {
		status.Store(s)
		g, err := v.Verify(arriving(asClient("id=1"), nil, "/events"))
		if (s == 200) != (err == nil && g != nil) {
			t.Errorf("%d: got %+v, %v", s, g, err)
		}
	}
	status.Store(401)
	if g, _ := v.Verify(arriving(asClient("id=1"), nil, "/events")); g == nil {
		t.Error("an answer is not kept")
	}
}

// An answer that was asked for before a purge is not for those who come behind it, and not kept.
func TestAuthorizePurgeInFlight(t *testing.T) {
	asked, answer := make(chan struct{}, 9), make(chan string)
	v := authorizerOf(t, Authorize{Target: app(t, func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		w.Header().Set("X-SSE-User", <-answer)
	})})
	users := make(chan string, 2)
	ask := func() {
		g, err := v.Verify(arriving(asClient("id=1"), nil, "/events"))
		if err != nil {
			t.Error(err)
			return
		}
		users <- g.User
	}
	go ask()
	<-asked
	v.forgetUser("old")
	go ask()
	<-asked         // a question of its own
	answer <- "old" // to one of the two: both go by the same name here
	<-users
	answer <- "new"
	<-users
	go ask()
	select {
	case user := <-users: // kept: so it is the answer to the second question
		if n := len(asked); n != 0 {
			t.Errorf("asked %d times more, and %q is kept", n, user)
		}
	case <-time.After(limitOfTest):
		t.Error("the answer from behind the purge is not kept")
	}

	go func() { <-asked; v.forgetUser("old"); answer <- "late" }()
	v.forgetUser("old")
	v.forgetUser("new")
	ask()
	if v.mu.Lock(); len(v.answers) != 0 {
		t.Error("an answer from before a purge is kept")
	}
	v.mu.Unlock()
}

// A slow, an endless and a missing app cost a bounded time, and refuse nobody for good.
func TestAuthorizeFailures(t *testing.T) {
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	socket := filepath.Join(t.TempDir(), "app.sock")
	for name, target := range map[string]string{
		"slow": app(t, func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-release:
			}
		}),
		"endless": app(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-SSE-User", "u1")
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 8<<10)); err != nil {
					return
				}
			}
		}),
		"dripping": app(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-SSE-User", "u1")
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
			case <-release:
			}
		}),
		"endless headers": app(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-SSE-User", "u1")
			w.Header().Set("X-Long", strings.Repeat("a", 2*maxUnread))
		}),
		"not there":        "http://127.0.0.1:1/whoami",
		"no socket":        "unix://" + socket + ":/whoami",
		"no site to speak": "/whoami",
	} {
		t.Run(name, func(t *testing.T) {
			v := authorizerOf(t, Authorize{Target: target, Timeout: caddy.Duration(300 * time.Millisecond)})
			if g, err := v.Verify(arriving(asClient("id=1"), nil, "/events")); g != nil || !isSoft(err, "authorize") {
				t.Errorf("got %+v, %v", g, err)
			}
			if n := v.queue.Keys(); n != 0 {
				t.Error("a place is left taken")
			}
		})
	}
}

func TestAuthorizeOverSocket(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "app.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-SSE-User", "of "+r.URL.Path)
	})}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	v := authorizerOf(t, Authorize{Target: "unix://" + socket + ":/whoami"})
	if g, err := v.Verify(arriving(asClient("id=1"), nil, "/events")); err != nil || g.User != "of /whoami" {
		t.Errorf("got %+v, %v", g, err)
	}
}

// Two thousand clients of a hundred users come back at once: one question a user, few at a time, nobody refused.
func TestAuthorizeStorm(t *testing.T) {
	const clients, users, atOnce = 2000, 100, 4
	var asked, now, most atomic.Int64
	v := authorizerOf(t, Authorize{Concurrency: atOnce, Timeout: caddy.Duration(limitOfTest), TTL: caddy.Duration(time.Minute), Target: app(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		for n := now.Add(1); ; {
			if m := most.Load(); n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		c, _ := r.Cookie("id")
		w.Header().Set("X-SSE-User", c.Value)
		now.Add(-1)
	})})
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			user := fmt.Sprint("u", i%users)
			g, err := v.Verify(arriving(asClient("id="+user), nil, "/events"))
			if err != nil || g.User != user {
				t.Errorf("client %d: got %+v, %v", i, g, err)
			}
		})
	}
	wg.Wait()
	if asked.Load() != users || most.Load() > atOnce {
		t.Errorf("the app was asked %d times, up to %d at once", asked.Load(), most.Load())
	}
}

func FuzzTopicsHeader(f *testing.F) {
	for _, seed := range []string{"a, b", `["a","b/*"]`, "a*", "[", "**", ",,", "a\x00", strings.Repeat("a/", 200)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		topics, err := topicsOf([]string{line})
		if err == nil && CheckTopics(topics) != nil {
			t.Errorf("%q: got %q", line, topics)
		}
	})
}

const limitOfTest = 30 * time.Second

// An app that is too slow for a storm sends the rest off, for now.
func TestAuthorizeStormOnASlowApp(t *testing.T) {
	release := make(chan struct{})
	v := authorizerOf(t, Authorize{Concurrency: 2, Timeout: caddy.Duration(300 * time.Millisecond), Target: app(t, func(w http.ResponseWriter, _ *http.Request) {
		<-release
		w.Header().Set("X-SSE-User", "u")
	})})
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			if g, err := v.Verify(arriving(asClient(fmt.Sprint("id=", i)), nil, "/events")); g != nil || !isSoft(err, "authorize") {
				t.Errorf("got %+v, %v", g, err)
			}
		})
	}
	wg.Wait()
	close(release)
	if g, err := v.Verify(arriving(asClient("id=1"), nil, "/events")); err != nil || g.User != "u" {
		t.Errorf("later: got %+v, %v", g, err)
	}
}

// What a client of a cookie without end makes the proxy keep is bounded.
func TestAuthorizeKeepsLittle(t *testing.T) {
	v := authorizerOf(t, Authorize{Target: "/whoami"})
	g := &Grant{User: "u", Expires: time.Now().Add(time.Hour)}
	for i := range 3 * maxAnswers {
		v.keep(answerKey{byte(i), byte(i >> 8), byte(i >> 16)}, g, 0)
	}
	if n := len(v.answers); n > maxAnswers {
		t.Errorf("%d answers are kept", n)
	}
}

// A handler of the site that panics, or does not heed its context, is no matter for the process.
func TestAuthorizeSiteHandlers(t *testing.T) {
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	for name, handler := range map[string]http.HandlerFunc{
		"panics":  func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"is deaf": func(http.ResponseWriter, *http.Request) { <-release },
		"is endless": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-SSE-User", "u1")
			for r.Context().Err() == nil {
				if n, err := w.Write(make([]byte, 8<<10)); n != 8<<10 || err != nil {
					t.Error("a write failed: reverse_proxy would panic")
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := authorizerOf(t, Authorize{Target: "/whoami", Timeout: caddy.Duration(300 * time.Millisecond)})
			r := asClient("id=1")
			r = r.WithContext(context.WithValue(r.Context(), caddyhttp.ServerCtxKey, http.Handler(handler)))
			if g, err := v.Verify(arriving(r, nil, "/events")); g != nil || !isSoft(err, "authorize") {
				t.Errorf("got %+v, %v", g, err)
			}
		})
	}
}

// No header that steers the proxy is sent on, in any spelling that an app could take for it.
func TestAuthorizeHeadersRefused(t *testing.T) {
	for _, name := range []string{"X-SSE-User", "x-sse-topics", "X_SSE_User", "X.Sse-Question", "Cookie", "Host", "X-Forwarded-For", "a b"} {
		if err := (&Authorize{Target: "/whoami", Headers: []string{name}}).Check(); err == nil || !strings.Contains(err.Error(), "cannot be sent on") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// Of what the site's handlers can see of a connection, nothing is left out of what tells questions apart, save for what
// differs between two connections of one client.
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
			if g, err := v.Verify(arriving(request(c), nil, "/events")); err != nil || g.User != fmt.Sprint("u", i+1) {
				t.Errorf("round %d, %d: got %+v, %v", round, i, g, err)
			}
		}
	}
	again := different[8]
	again.peer = "192.0.2.1:1001"
	again.tls = &tls.ConnectionState{PeerCertificates: cert("ann's"), DidResume: true, TLSUnique: []byte("another")}
	if g, err := v.Verify(arriving(request(again), nil, "/events")); err != nil || g.User != "u9" {
		t.Errorf("another connection of one client: got %+v, %v", g, err)
	}

	// An app that is asked over the network sees nothing of a connection.
	overNetwork := authorizerOf(t, Authorize{Target: app(t, site)})
	for _, i := range []int{0, 1, 3} {
		if g, err := overNetwork.Verify(arriving(request(different[i]), nil, "/events")); err != nil || g.User != "u12" {
			t.Errorf("over the network, %d: got %+v, %v", i, g, err)
		}
	}
}
