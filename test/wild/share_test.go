package wild_test

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/test/harness"
)

// sharing is tabs of one browser that share a stream.
type sharing struct {
	t     *testing.T
	url   string
	route harness.Route
	tabs  []*harness.Page
	want  []int // what has been published
}

func share(t *testing.T, tabs int, open func(url string) *harness.Page) *sharing {
	t.Helper()
	s := &sharing{t: t, url: "http://localhost:" + harness.Port(t)}
	harness.StartCaddy(t, fmt.Sprintf(`{
	default_bind 127.0.0.1
}
%s {
	sse_push /events {
		user query userId
		internal /_sse {
			allow loopback
		}
	}
	root * %s
	handle /clients/* {
		root * .
		file_server
	}
	file_server
}`, s.url, filepath.Join(harness.Root(), "test/wild/testdata")))
	s.route = harness.Route{URL: s.url + "/_sse"}
	for range tabs {
		s.tabs = append(s.tabs, open(s.url+"/tabs.html"))
	}
	for _, tab := range s.tabs {
		tab.Wait(`window.push?.state === 'open'`)
	}
	s.connected()
	return s
}

// connected waits until there is one stream, and no other.
func (s *sharing) connected() {
	s.t.Helper()
	harness.EventuallyEqual(s.t, "streams of all tabs", 1, func() int { return s.route.Connections(s.t, "ann") })
}

func (s *sharing) publish() {
	s.t.Helper()
	s.want = append(s.want, len(s.want)+1)
	s.route.Publish(s.t, harness.Event{"user": "ann", "data": s.want[len(s.want)-1]})
}

// heard checks that the tabs have heard each event once, in order.
func (s *sharing) heard() {
	s.t.Helper()
	for i, tab := range s.tabs {
		tab.Wait(fmt.Sprintf(`heard.at(-1) === %d`, s.want[len(s.want)-1]))
		if got := harness.Eval[[]int](tab, `heard`); !slices.Equal(got, s.want) {
			s.t.Errorf("tab %d heard %d, want %d", i, got, s.want)
		}
	}
}

// end ends the tab that holds the stream between two events, in a way of its own, and checks the others.
func (s *sharing) end(how func(*harness.Page)) {
	s.t.Helper()
	holds := func(tab *harness.Page) bool { return harness.Eval[bool](tab, `holds()`) }
	brokertest.Eventually(s.t, "a tab holds the stream", func() bool { return slices.ContainsFunc(s.tabs, holds) })
	i := slices.IndexFunc(s.tabs, holds)
	holder := s.tabs[i]
	s.tabs = slices.Delete(s.tabs, i, i+1)
	s.publish() // it may be on its way
	how(holder)
	s.publish()
	s.heard()
}

// back checks the other tabs and one that was away.
func (s *sharing) back(tab *harness.Page) {
	s.t.Helper()
	tab.Wait(`window.push?.state === 'open'`)
	if kept := harness.Eval[int](tab, `heard.length`); kept == 0 { // the browser has loaded the page anew
		tab.Close()
	} else {
		s.tabs = append(s.tabs, tab)
	}
	s.publish()
	s.heard()
	s.connected()
}

// Twenty tabs work over HTTP/1.1, which gives a browser six connections, and what ends the tab with the stream is no loss to
// the others.
func TestTabsShareOneStream(t *testing.T) {
	t.Parallel()
	profile, frozen := harness.NewProfile(t), map[*harness.Page]*harness.Tab{}
	s := share(t, 20, func(url string) *harness.Page {
		tab := profile.OpenTab(t, url)
		frozen[tab.Page] = tab
		return tab.Page
	})
	checkSharing(t, s)
	var tab *harness.Page
	s.end(func(holder *harness.Page) {
		tab = holder
		frozen[tab].Freeze(true)
	})
	frozen[tab].Freeze(false)
	s.back(tab)
}

// The same in the other engines, with more tabs than connections.
func TestTabsShareOneStreamElsewhere(t *testing.T) {
	t.Parallel()
	tabs := 7
	if all() {
		tabs = 20
	}
	for _, engine := range []harness.Engine{harness.Firefox, harness.WebKit} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			browser := harness.NewBrowser(t, engine)
			checkSharing(t, share(t, tabs, func(url string) *harness.Page { return browser.Open(t, url) }))
		})
	}
}

// A tab whose process crashes is replaced at once, and one that hangs after a while. It hears each event once when it goes on.
func TestTabsOutliveTheirHolder(t *testing.T) {
	if !all() {
		return // it takes longer than half a minute
	}
	t.Parallel()
	for _, engine := range harness.Engines {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			browser := harness.StartBrowser(t, engine)
			renderers := map[*harness.Page]harness.Renderer{}
			s := share(t, 3, func(url string) *harness.Page {
				page := browser.Open(t, url)
				renderers[page] = browser.Renderer(t, page)
				return page
			})
			t.Logf("renderers: %v", slices.Collect(maps.Values(renderers)))
			s.publish()
			s.heard()
			var hung *harness.Page
			s.end(func(holder *harness.Page) {
				hung = holder
				renderers[holder].Signal(syscall.SIGSTOP)
				t.Cleanup(func() { renderers[holder].Signal(syscall.SIGCONT) })
			})
			renderers[hung].Signal(syscall.SIGCONT) // until now it has had a stream, too
			s.back(hung)
			if engine != harness.WebKit { // its driver ends with the first page that crashes
				s.end(func(holder *harness.Page) { renderers[holder].Signal(syscall.SIGKILL) })
			}
			s.connected()
		})
	}
}

func checkSharing(t *testing.T, s *sharing) {
	t.Helper()
	s.publish()
	s.heard()
	if !harness.Eval[bool](s.tabs[3], `fetch('/tabs.html').then((response) => response.ok)`) {
		t.Error("a fetch beside the stream fails")
	}
	s.end((*harness.Page).Close)
	var left *harness.Page
	s.end(func(holder *harness.Page) {
		left = holder
		left.Goto("about:blank")
	})
	left.Go(-1)
	s.back(left)
}
