// Package browsers_test has real pages in three browser engines hear the product. By itself it runs the core cases; `make wild` runs
// all of them.
package browsers_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// all reports whether every case is to run.
func all() bool { return os.Getenv("SSE_PUSH_WILD") != "" }

// site is a Caddy with a hub at /events, and pages.
type site struct {
	*harness.Caddy
	caddyfile string
	url       string // of the pages
	route     harness.Route
}

// serve starts Caddy with options of the hub.
func serve(t *testing.T, options ...string) *site {
	t.Helper()
	port, internal := harness.Port(t), harness.Port(t)
	s := &site{url: "http://localhost:" + port, route: harness.Route{URL: "http://localhost:" + internal + "/_sse"}}
	s.caddyfile = caddyfile(t, s.url, internal, options...)
	s.start(t)
	return s
}

// serveByCable is serve. The pages' URL leads through a cable that can be cut.
func serveByCable(t *testing.T, options ...string) (*site, *cable) {
	t.Helper()
	port, internal := harness.Port(t), harness.Port(t)
	line := lay(t, "127.0.0.1:"+port)
	s := &site{url: "http://localhost:" + line.port(), route: harness.Route{URL: "http://localhost:" + internal + "/_sse"}}
	s.caddyfile = caddyfile(t, "http://localhost:"+port, internal, options...)
	s.start(t)
	return s, line
}

// serveTLS is serveByCable over HTTPS, and so over HTTP/2.
func serveTLS(t *testing.T, options ...string) (*site, *cable) {
	t.Helper()
	port, internal := harness.Port(t), harness.Port(t)
	line := lay(t, "127.0.0.1:"+port)
	s := &site{url: "https://localhost:" + line.port(), route: harness.Route{URL: "http://localhost:" + internal + "/_sse"}}
	cert, key := harness.Certificate(t, harness.Dir(t))
	s.caddyfile = caddyfile(t, "https://localhost:"+port, internal, options...)
	s.caddyfile = strings.Replace(s.caddyfile, "# tls", fmt.Sprintf("tls %s %s", cert, key), 1)
	s.start(t)
	return s, line
}

func caddyfile(t *testing.T, url, internal string, options ...string) string {
	t.Helper()
	return fmt.Sprintf(`{
	default_bind 127.0.0.1
	auto_https disable_redirects
}
%s {
	# tls
	sse_push /events {
		hub main
		user query userId
		topics room
		broker file %s
		retry 500ms
		drain 1s
		%s
	}
	handle /clients/* {
		root * .
		file_server
	}
	handle {
		root * %s
		file_server
	}
}
http://localhost:%s {
	sse_push {
		hub main
		internal /_sse {
			allow loopback
		}
	}
}
`, url, harness.Dir(t), strings.Join(options, "\n\t\t"), filepath.Join(harness.Root(), "test/e2e/testdata/pages"), internal)
}

func (s *site) start(t *testing.T) {
	t.Helper()
	s.Caddy = harness.StartCaddy(t, s.caddyfile)
}

// heard is what a page has heard.
type heard struct{ Type, Data, ID string }

// visit is a page that listens as ann, in one of two ways.
type visit struct {
	*harness.Page
	t       *testing.T
	browser *harness.Browser
	site    *site
	how     string
}

// The ways to listen: EventSource itself, and the JavaScript client.
const (
	native  = "native"
	ours    = "ours"
	beating = "beating" // ours, with heartbeats that the page hears
	shared  = "shared"  // ours, with one stream for all tabs
)

// open opens a page that listens, and waits until it is connected.
func (s *site) open(t *testing.T, browser *harness.Browser, how, query string) *visit {
	t.Helper()
	v := &visit{Page: browser.Open(t, s.url+"/source.html"), t: t, browser: browser, site: s, how: how}
	v.listen(query)
	v.connected(1)
	return v
}

func (v *visit) listen(query string) {
	v.t.Helper()
	v.Wait(`window.ready`)
	harness.Eval[int](v, fmt.Sprintf(`(window.heard = %s('/events?userId=ann%s'), 0)`, v.how, query))
}

// connected waits until the page has connected for the nth time.
func (v *visit) connected(n int) {
	v.t.Helper()
	v.Wait(fmt.Sprintf(`heard.events.filter(({ type }) => type === 'sse:connected').length >= %d`, n))
}

func (v *visit) heard() []heard { return harness.Eval[[]heard](v, `heard.events`) }

// publish publishes to ann.
func (s *site) publish(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		s.route.Publish(t, harness.Event{"user": "ann", "data": fmt.Sprintf("%q", text)})
	}
}

// wants waits for the last of some events, and checks that the page has heard each of them once, in order, and whether it has heard
// of a gap.
func (v *visit) wants(gap bool, texts ...string) {
	v.t.Helper()
	v.Wait(fmt.Sprintf(`heard.events.some(({ type, data }) => type === 'message' && data === '%q')`, texts[len(texts)-1]))
	var got []string
	told := false
	for _, e := range v.heard() {
		switch e.Type {
		case "message":
			got = append(got, strings.Trim(e.Data, `"`))
		case "sse:gap":
			told = true
		}
	}
	if !slices.Equal(got, texts) {
		v.t.Errorf("the page heard %q, want %q", got, texts)
	}
	if told != gap {
		v.t.Errorf("the page was told of a gap: %t, want %t", told, gap)
	}
}

// kick ends ann's streams from the server's side.
func (s *site) kick(t *testing.T, query string) {
	t.Helper()
	if status := s.route.Call(t, "DELETE", "/users/ann"+query, nil, nil); status != 204 {
		t.Fatalf("kicking: status %d", status)
	}
}
