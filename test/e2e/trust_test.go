package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/sse"
	"github.com/sse-push/caddy-sse-push/test/harness"
)

// scripts are lines of a site with the scripts of testdata/trust.
func scripts(fpm *harness.FPM) string {
	return "root test/e2e/testdata/trust\nphp_fastcgi " + fpm.Address + "\n"
}

// Two workers make 500 streams, and have time for pages.
func TestWorkersAreIdleByUpstream(t *testing.T) {
	t.Parallel()
	const streams, pages = 500, 50
	fpm := harness.StartFPM(t, 2)
	url := serve(t, `sse_push /events {
		upstream
		internal /_sse {
			allow loopback
		}
	}
	rewrite /events /stream.php?{query}
	`+scripts(fpm))
	page := func() time.Duration {
		t.Helper()
		status, body, took := harness.Fetch(t, url+"/seen.php")
		if status != http.StatusOK || body != "[]" {
			t.Fatalf("a page: %d %.200q", status, body)
		}
		return took
	}
	slowest := func() (most time.Duration) {
		t.Helper()
		for range pages {
			most = max(most, page())
		}
		return most
	}
	before := slowest()
	open := make([]*harness.Stream, streams)
	begin := time.Now()
	for i := range open {
		open[i] = harness.Open(t, fmt.Sprintf("%s/events?user=u%d", url, i))
	}
	took := time.Since(begin)
	for i, s := range open {
		if c := s.Connected(); c.User == nil || *c.User != fmt.Sprintf("u%d", i) {
			t.Fatalf("the stream of u%d is %+v", i, c)
		}
		s.Expect("[]") // the app's first event
	}
	// The question itself may wait for a moment.
	harness.EventuallyEqual(t, "php-fpm's load while streams are open", harness.Load{Total: 2}, func() harness.Load { return fpm.Load(t) })
	after := slowest()
	t.Logf("%d streams in %v; the slowest of %d pages took %v before, %v with them", streams, took, pages, before, after)
	if after > 5*time.Second { // it would wait for a stream to end
		t.Errorf("a page took %v", after)
	}
	route := harness.Route{URL: url + "/_sse"}
	if n := route.Connections(t, ""); n != streams {
		t.Errorf("%d connections, want %d", n, streams)
	}
	route.Publish(t, harness.Event{"topic": "room", "data": "to all"})
	for _, s := range open {
		s.Expect("to all")
	}
	route.Publish(t, harness.Event{"user": "u7", "data": "to one"})
	open[7].Expect("to one")
}

// The app publishes by a header of what it answers anyway. What it stores for others, who may write what they like into
// the headers, publishes nothing where publish_header does not stand.
func TestPublishByHeader(t *testing.T) {
	t.Parallel()
	uploads := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-SSE-Publish", "user=u1&data=from+"+strings.Trim(r.URL.Path, "/"))
		w.Header().Set("X-SSE-Hold", "stream")
		w.Header().Set("X-SSE-User", "u1")
		io.WriteString(w, "a file")
	}))
	t.Cleanup(uploads.Close)
	fpm := harness.StartFPM(t, 2)
	url := serve(t, `sse_push /events {
		hub main
		user query userId
		topics room
		internal /_sse {
			allow loopback
		}
	}
	handle /uploads/* {
		reverse_proxy `+uploads.URL+`
	}
	handle {
		sse_push {
			hub main
			publish_header user topic
		}
		handle /trusted/* { # the same, where it should not be
			reverse_proxy `+uploads.URL+`
		}
		`+scripts(fpm)+`
	}`)
	u1 := harness.Open(t, url+"/events?userId=u1&topic=room")
	u2 := harness.Open(t, url+"/events?userId=u2")
	u1.Connected()
	u2.Connected()
	call := func(path, want string) {
		t.Helper()
		req, err := http.NewRequest(http.MethodPost, url+path, strings.NewReader("X-SSE-Publish=user%3Du1"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-SSE-Publish", "user=u1&data=from+a+client")
		res, err := harness.Client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK || string(body) != want {
			t.Errorf("%s: %s %.200q %v", path, res.Status, body, err)
		}
		if got := res.Header["X-Sse-Publish"]; got != nil && !strings.HasPrefix(path, "/uploads/") {
			t.Errorf("%s: the client sees %q", path, got)
		}
	}
	call("/uploads/file", "a file")
	call("/publish.php", "saved")
	call("/trusted/file", "a file")
	for _, want := range []string{`{"state":"gepackt, endg\u00fcltig"}`, "two\nlines", "a form", "from trusted/file"} {
		if e := u1.Next(); e.Data != want {
			t.Errorf("u1 got %q, want %q", e, want)
		}
	}
	u2.Expect("a form")
}

// The app never sees a header that steers the proxy, in whatever way a client spells it.
func TestInstructionsOfClients(t *testing.T) {
	t.Parallel()
	fpm := harness.StartFPM(t, 2)
	// Caddy itself drops most such spellings, unless it is told that they are wanted.
	caddyfile, url := site(t, `sse_push /events {
		upstream
	}
	rewrite /events /stream.php?{query}
	`+scripts(fpm))
	harness.StartCaddy(t, harness.Replace(t, "the site", caddyfile, "default_bind 127.0.0.1\n", `default_bind 127.0.0.1
	servers {
		expected_underscore_headers X_SSE_User X_Other
		expected_dot_headers X.SSE.Limit X.Dotted
	}
`))
	headers := http.Header{
		"X-SSE-Topics": {"room"}, "x-sse-hold": {"stream"}, "X-Sse-Publish": {"user=u1", "user=u2"}, "X-SSE-Connection": {"c"},
		"X_SSE_User": {"mallory"}, "X.SSE.Limit": {"1"}, "X_Other": {"kept"}, "X.Dotted": {"kept"}, "X-Plain": {"kept"},
	}
	seen := func(path string) string {
		t.Helper()
		req, err := http.NewRequest(http.MethodGet, url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = headers.Clone()
		ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
		defer cancel()
		res, err := http.DefaultTransport.RoundTrip(req.WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
			body, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			return string(body)
		}
		reader := sse.NewReader(res.Body, 0)
		for {
			m, err := reader.Next()
			if err != nil {
				t.Fatal(err)
			}
			if m.Type == "seen" {
				return m.Data
			}
		}
	}
	for _, path := range []string{"/seen.php", "/stream.php?user=u1", "/events?user=u1"} {
		text := seen(path)
		_, data, ok := strings.Cut(text, "data: ")
		if !ok {
			data = text
		}
		var names map[string]string
		if err := json.Unmarshal([]byte(data), &names); err != nil {
			t.Fatalf("%s answered %q: %v", path, text, err)
		}
		for name := range names {
			if strings.HasPrefix(name, "HTTP_X_SSE_") {
				t.Errorf("%s: the app sees %s: %q", path, name, names[name])
			}
		}
		if names["HTTP_X_OTHER"] != "kept" || names["HTTP_X_PLAIN"] != "kept" {
			t.Errorf("%s: the app sees no more than %v", path, names)
		}
	}
}
