package doctor_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/doctor"
)

// All that is examined here is at http://127.0.0.1, which is noted.
const here = "h1-here"

func examine(t *testing.T, o doctor.Options, want ...string) *doctor.Report {
	t.Helper()
	r, err := doctor.Examine(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, f := range r.Findings {
		codes = append(codes, f.Code)
	}
	slices.Sort(codes)
	if slices.Sort(want); !slices.Equal(codes, want) {
		t.Errorf("found %q, want %q: %+v", codes, want, r.Findings)
	}
	return r
}

func TestHealthy(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	r := examine(t, f.options(), here)
	if !r.Healthy {
		t.Error("a note makes it unhealthy")
	}
	for _, s := range r.Streams {
		if s.Headers == nil || s.First == nil || s.Probe == nil || s.Retry != 1000 {
			t.Errorf("stream %+v", s)
		}
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		set  func(f *fake, o *doctor.Options)
		want []string
	}{
		"clumps":        {func(f *fake, o *doctor.Options) { f.clump, o.Timeout = 2, haste }, []string{"buffered"}},
		"late":          {func(f *fake, o *doctor.Options) { f.late = 1800 * time.Millisecond; o.Timeout = patience }, []string{"delayed"}},
		"lost probes":   {func(f *fake, o *doctor.Options) { f.late, o.Timeout = time.Hour, haste }, []string{"buffered"}},
		"another hub":   {func(f *fake, o *doctor.Options) { f.late, f.foreign, o.Timeout = time.Hour, true, haste }, []string{"other-hub"}},
		"one id":        {func(f *fake, _ *doctor.Options) { f.sameID = true }, []string{"cached"}},
		"cache says so": {func(f *fake, _ *doctor.Options) { f.headers = map[string]string{"X-Cache": "Hit from cloudfront"} }, []string{"cached"}},
		"age":           {func(f *fake, _ *doctor.Options) { f.headers = map[string]string{"Age": "7"} }, []string{"cached"}},
		"may be cached": {func(f *fake, _ *doctor.Options) { f.headers = map[string]string{"Cache-Control": ""} }, []string{"cacheable"}},
		"brotli": {func(f *fake, o *doctor.Options) {
			f.headers, o.Timeout = map[string]string{"Content-Encoding": "br"}, haste
		}, []string{"compressed"}},
		"Last-Event-ID taken away": {func(f *fake, o *doctor.Options) {
			o.Timeout = haste
			f.back = func(string) string { return "event: sse:connected\ndata: {\"connection\":\"x\"}\nid: 99\n\n" }
		}, []string{"resume-header"}},
		"gap": {func(f *fake, _ *doctor.Options) {
			f.back = func(string) string { return "HELLOevent: sse:gap\ndata: {\"reason\":\"trimmed\"}\n\n" }
		}, []string{"resume-gap"}},
		"missed event lost": {func(f *fake, o *doctor.Options) { f.back, o.Timeout = func(string) string { return "HELLO" }, haste }, []string{"resume-lost"}},
		"route refuses": {func(f *fake, _ *doctor.Options) {
			f.route = func(w http.ResponseWriter) { http.Error(w, "", http.StatusNotFound) }
			f.back = func(string) string { return "HELLOevent: sse:gap\ndata: {}\n\n" }
		}, []string{"publish-refused"}},
		"no route": {func(f *fake, o *doctor.Options) {
			o.Publish = "http://127.0.0.1:1/_sse"
			f.back = func(string) string { return "HELLOevent: sse:gap\ndata: {}\n\n" }
		}, []string{"publish-unreachable"}},
		"no route, Last-Event-ID taken away": {func(f *fake, o *doctor.Options) {
			o.Publish, o.Token, o.Timeout = "", "", haste
			f.back = func(string) string { return "HELLO" }
		}, []string{"resume-header"}},
		"no CORS": {func(_ *fake, o *doctor.Options) { o.Origin = "https://app.example" }, []string{"cors-refused", "cors-preflight"}},
		"CORS twice": {func(f *fake, o *doctor.Options) {
			o.Origin = "https://app.example"
			f.headers = map[string]string{"Access-Control-Allow-Origin": "https://app.example, *"}
		}, []string{"cors-twice", "cors-preflight"}},
		"CORS without credentials, cookie without SameSite": {func(f *fake, o *doctor.Options) {
			o.Origin = "https://app.example"
			f.headers = map[string]string{"Access-Control-Allow-Origin": "*", "Set-Cookie": "session=1; SameSite=Lax"}
		}, []string{"cors-credentials", "cors-preflight", "cookie-samesite"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			o := f.options()
			c.set(f, &o)
			r := examine(t, o, append(c.want, here)...)
			if r.Healthy {
				t.Error("it is said to be healthy")
			}
		})
	}
}

// Answers that are not streams.
func TestAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   []string
		seen   string
	}{
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://u:pw@example.com/login?back=t0ps3cret", http.StatusFound)
		}, []string{"no-directive", "redirect", here}, "https://example.com/login?…"},
		"status": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, []string{"status", here}, "502"},
		"a page": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<p>hello") }, []string{"no-directive", "not-event-stream", here}, "text/html"},
		"a login": {func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodOptions {
				w.Header().Set("Allow", "GET, POST")
			}
			http.Error(w, "who are you?", http.StatusUnauthorized)
		}, []string{"no-directive", "status", here}, "OPTIONS gets status 401 (Unauthorized), with Allow: GET, POST"},
		"a directive's own refusal": {func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodOptions {
				w.Header().Set("Allow", "GET, HEAD, OPTIONS, POST, QUERY")
				w.WriteHeader(http.StatusNoContent)
				return
			}
			w.WriteHeader(http.StatusForbidden)
		}, []string{"status", here}, "status 403 (Forbidden); sse_push is there"},
		"silence": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, []string{"no-answer"}, "connected, but"},
		"only headers": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.Header().Set("Cache-Control", "no-cache")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, []string{"buffered", here}, "not one byte"},
		"an event without its end": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.Header().Set("Cache-Control", "no-cache")
			fmt.Fprint(w, "retry: 1000\nevent: sse:connected\ndata: {\"connection\":\"c1\"}\n")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, []string{"buffered", here}, "but its end did not"},
		"an end, and a length": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.Header().Set("Cache-Control", "no-cache")
			fmt.Fprint(w, "retry: 1\nid: 1\ndata: 1\n\n")
		}, []string{"content-length", "cut", "own-stream", here}, "Content-Length is"},
		"no room": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.Header().Set("Cache-Control", "no-cache")
			fmt.Fprint(w, "event: sse:rejected\ndata: {\"reason\":\"connections\"}\n\n") // with a Content-Length
		}, []string{"rejected", here}, "connections"},
		"no room for so many of us": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.Header().Set("Cache-Control", "no-cache")
			_ = http.NewResponseController(w).Flush()
			fmt.Fprint(w, "event: sse:rejected\ndata: {\"reason\":\"per_user\"}\n\n")
		}, []string{here}, ""},
		"HTTP/1.0": {func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			defer conn.Close()
			fmt.Fprint(conn, "HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nX-Powered-By: PHP/8.4\r\n\r\ndata: 1\n\n")
			_, _ = bufio.NewReader(conn).ReadByte() // until the client leaves
		}, []string{"http10", "no-ids", "no-retry", "php-worker", here}, "PHP/8.4"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(c.answer)
			defer server.Close()
			r := examine(t, doctor.Options{URL: server.URL + "/x?ticket=t0ps3cret", Timeout: haste}, c.want...)
			if text := asJSON(t, r); !strings.Contains(text, c.seen) || strings.Contains(text, "s3cret") || strings.Contains(text, "pw@") {
				t.Errorf("want %q and no secrets in %s", c.seen, text)
			}
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		examine(t, doctor.Options{URL: "http://127.0.0.1:1/"}, "unreachable")
	})
	t.Run("no certificate", func(t *testing.T) {
		server := httptest.NewTLSServer(http.NotFoundHandler())
		defer server.Close()
		examine(t, doctor.Options{URL: server.URL, Timeout: patience}, "certificate")
	})
	t.Run("TLS without HTTP/2", func(t *testing.T) {
		server := httptest.NewTLSServer(http.NotFoundHandler())
		defer server.Close()
		examine(t, doctor.Options{URL: server.URL, Insecure: true, Timeout: patience}, "h1-only", "no-directive", "status")
	})
}

// If the hub itself is fine, the fault is between the client and the hub.
func TestComparison(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	front := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer front.Close()
	o := doctor.Options{URL: front.URL + "/events", Hub: f.URL, Timeout: haste}
	r := examine(t, o, "buffered")
	if got := r.Findings[0]; got.Where != doctor.Between || !strings.Contains(got.Seen, "though the hub itself") {
		t.Errorf("%+v", got)
	}
	f = newFake(t)
	o = doctor.Options{URL: f.URL + "/events", Hub: f.URL, Timeout: patience}
	f.headers = map[string]string{"Cache-Control": "public"}
	f.back = func(string) string { return "HELLOevent: sse:gap\ndata: {}\n\n" }
	r = examine(t, o, "cacheable", here)
	if got := r.Findings[0]; got.Where != doctor.AtHub {
		t.Errorf("%+v", got)
	}
	// The hub streams, but the proxy in front answers in its place.
	o = doctor.Options{URL: f.URL + "/elsewhere", Hub: f.URL + "/events", Timeout: patience}
	r = examine(t, o, "cacheable", "no-directive", "status", here)
	if got := r.Findings[0]; got.Code != "no-directive" || got.Where != doctor.Between || !strings.Contains(got.Seen, f.URL+"/elsewhere") {
		t.Errorf("%+v", got)
	}
}

// What the hub has accepted and a page does not hear of is held back, whoever else connects meanwhile; what the hub has not got is not.
func TestSilence(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		crowd, reaches bool
		gives          time.Duration // up
		want           []string
		seen           string
	}{
		"held":           {false, true, 0, []string{"buffered"}, "though the hub has accepted"},
		"held, a crowd":  {true, true, 0, []string{"buffered"}, "though the hub"}, // has accepted the connection, if that came in time
		"unreached":      {false, false, 0, []string{"no-answer"}, "the hub has not got the request"},
		"shared":         {true, false, 0, []string{"buffered"}, "though the hub itself"}, // one request for all, say: who is there is not known
		"504":            {false, true, 3 * time.Second, []string{"buffered", here}, ", though the hub has accepted"},
		"504, unreached": {false, false, 3 * time.Second, []string{"status", here}, "504"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.crowd = c.crowd
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ctx := r.Context()
				if c.gives > 0 {
					limited, cancel := context.WithTimeout(ctx, c.gives)
					defer cancel()
					ctx = limited
				}
				if c.reaches {
					if req, err := http.NewRequestWithContext(ctx, r.Method, f.URL+"/events", nil); err == nil {
						if res, err := http.DefaultClient.Do(req); err == nil {
							defer res.Body.Close()
						}
					}
				}
				<-ctx.Done()
				w.WriteHeader(http.StatusGatewayTimeout)
			}))
			defer front.Close()
			o := f.options()
			o.URL, o.Hub, o.Timeout = front.URL+"/events", f.URL+"/events", haste
			r := examine(t, o, c.want...)
			if text := asJSON(t, r); !strings.Contains(text, c.seen) {
				t.Errorf("no %q in %s", c.seen, text)
			}
		})
	}
}

// The end of an idle stream is noticed.
func TestIdle(t *testing.T) {
	t.Parallel()
	cut := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Cache-Control", "no-cache")
		fmt.Fprint(w, "retry: 1\nid: 1\nevent: sse:connected\ndata: {\"connection\":\"c\"}\n\n")
		_ = http.NewResponseController(w).Flush()
		if r.Header.Get("Last-Event-ID") != "" {
			fmt.Fprint(w, "event: sse:gap\ndata: {}\n\n")
			_ = http.NewResponseController(w).Flush()
		}
		select {
		case <-r.Context().Done():
		case <-time.After(2 * time.Second):
		}
	}))
	defer cut.Close()
	o := doctor.Options{URL: cut.URL, Timeout: patience, Idle: time.Minute}
	begin := time.Now()
	r := examine(t, o, "cached", "idle-cut", here)
	if time.Since(begin) > o.Idle {
		t.Error("the end of the streams was not noticed")
	}
	if text := asJSON(t, r); !strings.Contains(text, "of silence, or by a limit of the whole answer of 2.") || !strings.Contains(text, "(an orderly end)") {
		t.Error(text)
	}
}

// A limit of silence is told from one of the whole answer by a stream that is kept busy, and the hub is asked when it notices who has left.
func TestLimits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		set  func(*fake, *doctor.Options)
		want string
		seen string
	}{
		"silence":   {func(f *fake, _ *doctor.Options) { f.silence = 5 * time.Second }, "idle-cut", "of silence ("},
		"length":    {func(f *fake, _ *doctor.Options) { f.life = 8 * time.Second }, "cut", "and so did one with an event each second"},
		"a ghost":   {func(f *fake, _ *doctor.Options) { f.ghost = 4 * time.Second }, "ghost", "the hub counted a client that had left for"},
		"for ever":  {func(f *fake, _ *doctor.Options) { f.ghost = time.Hour }, "ghost", "the hub still counted a client"},
		"none":      {func(_ *fake, o *doctor.Options) { o.Idle, o.For = time.Second, 3*time.Second }, "", "whether a stream is cut after more than "},
		"long ones": {func(f *fake, o *doctor.Options) { f.life, o.Idle, o.For = 9*time.Second, 0, 14*time.Second }, "cut", "the stream ended "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			o := f.options()
			o.Idle = 9 * time.Second
			c.set(f, &o)
			want := []string{here}
			if c.want != "" {
				want = append(want, c.want)
			}
			r := examine(t, o, want...)
			if text := asJSON(t, r); !strings.Contains(text, c.seen) || strings.Contains(text, "give --for") != (o.For == 0) {
				t.Errorf("want %q, and a word about --for without it, in %s", c.seen, text)
			}
		})
	}
}

// What the hub ends is not cut, and what comes of its stop is no fault of anything else.
func TestEnds(t *testing.T) {
	t.Parallel()
	closing := func(reason string) string {
		return "event: sse:closing\nretry: 1500\ndata: {\"reason\":\"" + reason + "\"}\n\n"
	}
	const idle, probing = " talk", " 0.1"
	for name, c := range map[string]struct {
		set  func(f *fake)
		left string // out
	}{
		"while idle":    {func(f *fake) { f.endsAt, f.parting, f.stops = idle, closing("draining"), true }, "the hub ended it (draining)"},
		"while probing": {func(f *fake) { f.endsAt, f.parting, f.stops = probing, closing("draining"), true }, "the hub ended it (draining)"},
		"expired":       {func(f *fake) { f.endsAt, f.parting = idle, closing("expired") }, "the hub ended it (expired)"},
		"replaced":      {func(f *fake) { f.endsAt, f.parting = idle, "event: sse:superseded\ndata: {}\n\n" }, "has replaced it"},
		"a relay's":     {func(f *fake) { f.endsAt, f.parting = idle, "event: sse:end\ndata: {}\n\n" }, "its relay has ended"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			c.set(f)
			o := f.options()
			o.Idle = time.Minute
			r := examine(t, o, here)
			if !slices.ContainsFunc(r.Unchecked, func(u string) bool { return strings.HasPrefix(u, "whether h1 is cut") && strings.HasSuffix(u, c.left) }) {
				t.Errorf("not checked: %q", r.Unchecked)
			}
		})
	}
	t.Run("compressed", func(t *testing.T) {
		t.Parallel()
		f := newFake(t)
		f.endsAt, f.parting, f.brotli = idle, closing("expired"), true
		o := f.options()
		o.Idle = time.Minute
		examine(t, o, "compressed", here)
	})
}

// The token is sent only to the internal route.
func TestTokenStaysSecret(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.headers = map[string]string{"Cache-Control": "max-age=1, " + secret, "Content-Encoding": secret}
	f.route = func(w http.ResponseWriter) {
		w.WriteHeader(http.StatusUnauthorized)
		_ = json.NewEncoder(w).Encode(map[string]string{"detail": "not " + secret + "\x1b[31m"})
	}
	o := f.options()
	o.Timeout = haste
	r := examine(t, o, "cacheable", "compressed", here)
	var text strings.Builder
	if err := r.WriteText(&text, 80, true); err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{asJSON(t, r), text.String()} {
		if strings.Contains(out, secret) || strings.Contains(out, "t0ps3cret") {
			t.Errorf("a secret was printed: %s", out)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.asked { // one may still arrive, although nobody waits for its answer
		if r.Header.Get("Authorization") != "" {
			t.Error("the token went to the stream")
		}
	}
}

// If it is stopped after any of its requests, it leaves no connection open.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	for requests := 1; requests <= 12; requests++ {
		t.Run(fmt.Sprint(requests), func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var seen, connections atomic.Int64
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if seen.Add(1) == int64(requests) {
					cancel()
				}
				f.Config.Handler.ServeHTTP(w, r)
			}))
			server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
				switch s {
				case http.StateNew:
					connections.Add(1)
				case http.StateClosed:
					connections.Add(-1)
				}
			}
			server.Start()
			defer server.Close()
			o := f.options()
			o.URL, o.Publish = server.URL+"/events", server.URL+"/_sse"
			o.Idle = time.Hour
			if _, err := doctor.Examine(ctx, o); !errors.Is(err, context.Canceled) {
				t.Fatalf("got %v", err)
			}
			for deadline := time.Now().Add(20 * time.Second); connections.Load() > 0; {
				if time.Now().After(deadline) {
					t.Fatalf("%d connections are left", connections.Load())
				}
				<-time.After(5 * time.Millisecond)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []doctor.Options{
		{}, {URL: "example.com/events"}, {URL: "ws://example.com"}, {URL: "http://\x7f/?ticket=t0ps3cret"},
		{URL: "http://localhost", Publish: "localhost:9090"}, {URL: "http://localhost", Hub: "/events"},
		{URL: "http://localhost", Origin: "app.example.com"}, {URL: "http://localhost", Origin: "https://app.example.com/x"},
		{URL: "http://localhost", Idle: -1}, {URL: "http://localhost", Timeout: -1},
	} {
		if _, err := doctor.Examine(t.Context(), o); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func asJSON(t *testing.T, r *doctor.Report) string {
	t.Helper()
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
