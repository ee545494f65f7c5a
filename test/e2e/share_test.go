package e2e_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/test/harness"
)

// sharing is tabs of one browser that share a stream.
type sharing struct {
	t     *testing.T
	url   string
	route harness.Route
	tabs  []*harness.Tab
	want  []int // what has been published
}

func share(t *testing.T, tabs int) *sharing {
	t.Helper()
	s := &sharing{t: t, url: serve(t, `
	sse_push /events {
		user query userId
		internal /_sse {
			allow loopback
		}
	}`+pages(t))}
	s.route = harness.Route{URL: s.url + "/_sse"}
	profile := harness.NewProfile(t)
	for range tabs {
		s.tabs = append(s.tabs, profile.OpenTab(t, s.url+"/tabs.html"))
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

// heard checks that tabs have heard each event once, in order.
func (s *sharing) heard(tabs ...*harness.Tab) {
	s.t.Helper()
	for i, tab := range tabs {
		tab.Wait(fmt.Sprintf(`heard.at(-1) === %d`, s.want[len(s.want)-1]))
		if got := harness.Eval[[]int](tab, `heard`); !slices.Equal(got, s.want) {
			s.t.Errorf("tab %d heard %d, want %d", i, got, s.want)
		}
	}
}

// takeHolder returns the tab that holds the stream, and takes it off the list.
func (s *sharing) takeHolder() *harness.Tab {
	s.t.Helper()
	holds := func(tab *harness.Tab) bool { return harness.Eval[bool](tab, `holds()`) }
	brokertest.Eventually(s.t, "a tab holds the stream", func() bool { return slices.ContainsFunc(s.tabs, holds) })
	i := slices.IndexFunc(s.tabs, holds)
	tab := s.tabs[i]
	s.tabs = slices.Delete(s.tabs, i, i+1)
	return tab
}

// Twenty tabs work over HTTP/1.1, which gives a browser six connections, and what ends the tab with the stream is no loss to
// the others.
func TestTabsShareOneStream(t *testing.T) {
	t.Parallel()
	s := share(t, 20)
	s.publish()
	s.heard(s.tabs...)
	if !harness.Eval[bool](s.tabs[7], `fetch('/tabs.html').then((response) => response.ok)`) {
		t.Error("a fetch beside the stream fails")
	}

	s.publish() // on its way while the holder is closed
	s.takeHolder().Close()
	s.publish()
	s.heard(s.tabs...)
	s.connected()

	s.publish()
	frozen := s.takeHolder()
	frozen.Freeze(true)
	s.publish()
	s.heard(s.tabs...)
	s.connected()

	s.publish()
	left := s.takeHolder()
	left.Goto("about:blank")
	s.publish()
	s.heard(s.tabs...)
	s.connected()

	frozen.Freeze(false)
	harness.Eval[int](left, `history.back(), 0`)
	left.Wait(`window.push?.state === 'open'`)
	s.publish()
	s.heard(frozen)
	s.heard(s.tabs...)
	if harness.Eval[bool](left, `heard.length > 1`) { // otherwise the browser loaded the page anew
		s.heard(left)
	}
	s.connected()
}
