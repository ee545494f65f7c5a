package browsers_test

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

// cases are what happens to a page. Each is tried in each engine, with EventSource itself and with the JavaScript client.
var cases = []struct {
	name string
	core bool // part of the short form
	run  func(t *testing.T, browser *harness.Browser, how string)
}{
	{"resume", true, resume},
	{"reload", false, reload},
	{"drain", true, drain},
	{"kill", false, kill},
	{"gap", false, gap},
	{"denied", true, denied},
	{"origin", false, origin},
	{"service worker", true, serviceWorker},
	{"service worker, exempt", false, exempt},
	{"back", true, back},
	{"client", false, client},
	{"http2 cut", false, cutHTTP2},
	{"many tabs", false, manyTabs},
	{"worker", false, worker},
}

func TestBrowsers(t *testing.T) {
	for _, engine := range harness.Engines {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			browser := harness.NewBrowser(t, engine) // each site is an origin of its own
			for _, c := range cases {
				if !c.core && !all() {
					continue
				}
				for _, how := range []string{native, ours} {
					t.Run(c.name+"/"+how, func(t *testing.T) { c.run(t, browser, how) })
				}
			}
		})
	}
}

// The stream ends, and the browser comes back to what it missed.
func resume(t *testing.T, browser *harness.Browser, how string) {
	s := serve(t)
	v := s.open(t, browser, how, "")
	s.publish(t, "one", "two")
	v.wants(false, "one", "two")
	s.kick(t, "")
	s.publish(t, "three")
	v.connected(2)
	s.publish(t, "four")
	v.wants(false, "one", "two", "three", "four")
}

// A reload of Caddy's config drops no stream.
func reload(t *testing.T, browser *harness.Browser, how string) {
	s := serve(t)
	v := s.open(t, browser, how, "")
	s.publish(t, "one")
	s.Reload(t)
	s.publish(t, "two")
	v.wants(false, "one", "two")
	if n := len(v.heard()); n != 3 {
		t.Errorf("the page heard %q, and so connected again", v.heard())
	}
}

// A restart of Caddy loses nothing, as the broker keeps it. While Caddy is away, connections are refused, which browsers bear with.
func drain(t *testing.T, browser *harness.Browser, how string) {
	restart(t, browser, how, syscall.SIGTERM)
}

func kill(t *testing.T, browser *harness.Browser, how string) {
	restart(t, browser, how, syscall.SIGKILL)
}

func restart(t *testing.T, browser *harness.Browser, how string, signal syscall.Signal) {
	t.Helper()
	s := serve(t)
	v := s.open(t, browser, how, "")
	s.publish(t, "one")
	v.wants(false, "one")
	s.Signal(signal)
	s.Wait(t)
	s.start(t)
	s.publish(t, "two")
	v.connected(2)
	s.publish(t, "three")
	v.wants(false, "one", "two", "three")
}

// A page is told that it has missed what is not kept any more.
func gap(t *testing.T, browser *harness.Browser, how string) {
	s := serve(t)
	s.caddyfile = harness.Replace(t, "the site", s.caddyfile, "broker file", "#")
	s.Signal(syscall.SIGKILL)
	s.Wait(t)
	s.start(t)
	v := s.open(t, browser, how, "")
	s.publish(t, "one")
	v.wants(false, "one")
	s.Signal(syscall.SIGKILL)
	s.Wait(t)
	s.start(t)
	v.connected(2)
	s.publish(t, "two")
	v.wants(true, "one", "two")
}

// A denied user's page stops.
func denied(t *testing.T, browser *harness.Browser, how string) {
	s := serve(t)
	v := s.open(t, browser, how, "")
	s.kick(t, "?deny=10m")
	v.stops("refused 204")
}

// stops waits until the page has given up, and of the JavaScript client, that it says why.
func (v *visit) stops(why string) {
	v.t.Helper()
	if v.how == native {
		v.Wait(`heard.source.readyState === EventSource.CLOSED`)
	} else {
		v.Wait(fmt.Sprintf(`heard.states.at(-1) === %q`, why))
	}
}

// A page of an origin that is not listed stops, with its cookies and without.
func origin(t *testing.T, browser *harness.Browser, how string) {
	s, other := serve(t), serve(t)
	v := &visit{Page: browser.Open(t, other.url+"/source.html"), t: t, how: how}
	for _, credentials := range []bool{false, true} {
		v.Wait(`window.ready`)
		harness.Eval[int](v, fmt.Sprintf(`(window.heard = %s('%s/events?userId=ann', { withCredentials: %t }), 0)`, how, s.url, credentials))
		v.stops("refused 403")
	}
	if n := s.route.Connections(t, ""); n > 0 {
		t.Errorf("%d connections, want none", n)
	}
}

// Behind a service worker that passes fetches on, nothing is lost, but in Chromium with EventSource itself: it comes back without its
// last id, as a new client.
func serviceWorker(t *testing.T, browser *harness.Browser, how string) {
	want := []string{"one", "two", "three"}
	if how == native && browser.Engine == harness.Chromium {
		want = []string{"one", "three"}
	}
	behind(t, browser, how, "/passing.js", want)
}

// Behind a service worker that leaves the path alone, nothing is lost.
func exempt(t *testing.T, browser *harness.Browser, how string) {
	behind(t, browser, how, "/passing.js?except=/events", []string{"one", "two", "three"})
}

func behind(t *testing.T, browser *harness.Browser, how, worker string, want []string) {
	t.Helper()
	s := serve(t)
	page := browser.Open(t, s.url+"/source.html")
	harness.Eval[bool](page, fmt.Sprintf(`navigator.serviceWorker.register('%s').then(() => navigator.serviceWorker.ready).then(() => true)`, worker))
	page.Wait(`navigator.serviceWorker.controller`)
	v := &visit{Page: page, t: t, browser: browser, site: s, how: how}
	v.listen("")
	v.connected(1)
	s.publish(t, "one")
	v.wants(false, "one")
	s.kick(t, "")
	s.publish(t, "two")
	v.connected(2)
	s.publish(t, "three")
	v.wants(false, want...)
}

// A page that comes back by the Back button, from the back/forward cache or not, hears what it missed, and holds one stream.
func back(t *testing.T, browser *harness.Browser, how string) {
	s := serve(t)
	v := s.open(t, browser, how, "")
	s.publish(t, "one")
	v.wants(false, "one")
	v.Goto(s.url + "/elsewhere.html")
	v.Go(-1)
	v.Wait(`window.ready`)
	kept := harness.Eval[bool](v, `'heard' in window`)
	t.Logf("the page was kept: %t", kept)
	if !kept {
		v.listen("")
		v.connected(1)
	} else if how == ours || browser.Engine == harness.WebKit {
		v.connected(2)
	}
	s.publish(t, "two")
	v.Wait(`heard.events.some(({ type, data }) => type === 'message' && data === '"two"')`)
	harness.EventuallyEqual(t, "streams of the page", 1, func() int { return s.route.Connections(t, "ann") })
}

// Two pages with the same client take it from each other, and the older one hears so: once it takes another name, both hear all.
func client(t *testing.T, browser *harness.Browser, how string) {
	s := serve(t)
	older := s.open(t, browser, how, "&client=0123456789abcdef")
	newer := s.open(t, browser, how, "&client=0123456789abcdef")
	if how == native {
		older.Wait(`heard.events.at(-1).type === 'sse:superseded'`)
		harness.Eval[bool](older, `(heard.source.close(), true)`)
	} else {
		older.Wait(`heard.states.at(-1) === 'superseded'`)
	}
	older.listen("&client=fedcba9876543210")
	older.connected(1)
	s.publish(t, "one")
	older.wants(false, "one")
	newer.wants(false, "one")
}

// A connection of HTTP/2 is closed or reset. WebKit does not notice, so that only a page that waits for heartbeats comes back.
func cutHTTP2(t *testing.T, browser *harness.Browser, how string) {
	s, line := serveTLS(t, "heartbeat 1s")
	if how == ours {
		how = beating
	}
	v := s.open(t, browser, how, "")
	s.publish(t, "one")
	v.wants(false, "one")
	if browser.Engine == harness.WebKit && how == native {
		return
	}
	for i, reset := range []bool{false, true} {
		line.cut(reset)
		s.publish(t, "missed")
		v.connected(i + 2)
	}
	s.publish(t, "last")
	v.wants(false, "one", "missed", "missed", "last")
}

// Over HTTP/2, one connection carries the streams of more tabs than HTTP/1.1 would.
func manyTabs(t *testing.T, browser *harness.Browser, how string) {
	s, _ := serveTLS(t)
	var tabs []*visit
	for range 8 {
		tabs = append(tabs, s.open(t, browser, how, ""))
	}
	s.publish(t, "one")
	for _, tab := range tabs {
		tab.wants(false, "one")
	}
}

// A worker hears what a page does, whether it is a module or imports the client later.
func worker(t *testing.T, browser *harness.Browser, how string) {
	s := serve(t)
	for _, kind := range []string{"module", "classic"} {
		v := s.open(t, browser, fmt.Sprintf("working(%q, %q)", how, kind), "")
		s.publish(t, "one")
		v.wants(false, "one")
		s.kick(t, "")
		s.publish(t, "two")
		v.connected(2)
		s.publish(t, "three")
		v.wants(false, "one", "two", "three")
		v.Close()
	}
}
