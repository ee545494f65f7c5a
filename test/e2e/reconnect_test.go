package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"syscall"
	"testing"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

// pages is a part of a site: a page that has what it takes to subscribe, and the JavaScript client.
func pages(t *testing.T) string {
	t.Helper()
	return `
	handle /clients/* {
		root * .
		file_server
	}
	handle {
		root * ` + testdata(t, "pages") + `
		file_server
	}
`
}

func openSource(t *testing.T, profile *harness.Profile, url string) *harness.Tab {
	t.Helper()
	tab := profile.OpenTab(t, url+"/source.html")
	tab.Wait(`window.ready`)
	return tab
}

// heard is an event as a page saw it.
type heard struct{ Type, Data, ID string }

func eventsOf(tab *harness.Tab) []heard { return harness.Eval[[]heard](tab, `heard.events`) }

// connects waits until a page has connected for the nth time.
func connects(tab *harness.Tab, n int) {
	tab.Wait(fmt.Sprintf(`heard.events.filter(e => e.type === 'sse:connected').length >= %d`, n))
}

// A browser comes back by itself, with its last id, and gets what it missed: once and in order.
func TestBrowserResumes(t *testing.T) {
	t.Parallel()
	url := serve(t, `
	sse_push /events {
		user query userId
		retry 500ms
		internal /_sse {
			allow loopback
		}
	}`+pages(t))
	route := harness.Route{URL: url + "/_sse"}
	for name, open := range map[string]string{
		"EventSource": `window.heard = native('/events?userId=ann'), 0`,
		"SsePush":     `window.heard = ours('/events?userId=ann'), 0`,
	} {
		t.Run(name, func(t *testing.T) {
			tab := openSource(t, harness.NewProfile(t), url)
			harness.Eval[int](tab, open)
			connects(tab, 1)

			var want []string
			publish := func() (last string) {
				var batch []harness.Event
				for range 3 {
					want = append(want, fmt.Sprintf("event %d", len(want)))
					batch = append(batch, harness.Event{"user": "ann", "data": want[len(want)-1]}, harness.Event{"user": "ben", "data": "not hers"})
				}
				var ids []struct{ ID string }
				if status := route.Call(t, http.MethodPost, "/publish", batch, &ids); status != http.StatusOK || len(ids) != len(batch) {
					t.Fatalf("publishing a batch: status %d, %v", status, ids)
				}
				return ids[len(ids)-2].ID
			}
			last := publish()
			for drop := range 3 {
				// So that it is known what it comes back with.
				tab.Wait(fmt.Sprintf(`heard.events.at(-1).id === %q`, last))
				var now struct{ Connections []struct{ ID string } }
				route.Get(t, "/connections?user=ann", &now)
				if len(now.Connections) != 1 {
					t.Fatalf("ann has %d connections, want 1", len(now.Connections))
				}
				if status := route.Call(t, http.MethodDelete, "/connections/"+now.Connections[0].ID, nil, nil); status != http.StatusNoContent {
					t.Fatalf("DELETE of the connection: status %d", status)
				}
				before := last
				last = publish()
				connects(tab, drop+2)
				resumed := eventsOf(tab)
				i := slices.IndexFunc(resumed, func(e heard) bool { return e.ID == before }) // the event, then sse:connected
				if e := resumed[i+1]; e.Type != "sse:connected" || e.ID != before {
					t.Errorf("after %s comes %q, want sse:connected with this id", before, e)
				}
			}
			tab.Wait(fmt.Sprintf(`heard.events.at(-1).id === %q`, last))
			var got []string
			for _, e := range eventsOf(tab) {
				switch e.Type {
				case "message":
					got = append(got, trimQuotes(e.Data))
				case "sse:connected":
				default:
					t.Errorf("the page heard %q", e)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("the page heard %q, want %q", got, want)
			}
		})
	}
}

// When what is in front answers 502, EventSource gives up. Our client comes back, and says that something may be missing.
func TestBrowserComesBackAfter502(t *testing.T) {
	t.Parallel()
	caddyfile, url := site(t, `
	sse_push /events {
		user query userId
		retry 500ms
		internal /_sse {
			allow loopback
		}
	}`+pages(t))
	caddy := harness.StartCaddy(t, caddyfile)
	tab := openSource(t, harness.NewProfile(t), harness.StartNginx(t, bare(url)))
	harness.Eval[int](tab, `window.plain = native('/events?userId=ann'), window.heard = ours('/events?userId=ann'), 0`)
	connects(tab, 1)

	caddy.Signal(syscall.SIGKILL)
	caddy.Wait(t)
	tab.Wait(`plain.source.readyState === EventSource.CLOSED`)
	tab.Wait(`heard.states.includes('connecting again')`)
	harness.StartCaddy(t, caddyfile)
	connects(tab, 2)
	harness.Route{URL: url + "/_sse"}.Publish(t, harness.Event{"user": "ann", "data": `"after"`})
	tab.Wait(`heard.events.at(-1).data === '"after"'`)
	var got []string
	for _, e := range eventsOf(tab) {
		got = append(got, e.Type)
	}
	if want := []string{"sse:connected", "sse:connected", "sse:gap", "message"}; !slices.Equal(got, want) {
		t.Errorf("the page heard %q, want %q", got, want)
	}
}

// A frozen page holds no stream, and comes back to all that it missed, however short the freeze was.
func TestFrozenPageComesBack(t *testing.T) {
	t.Parallel()
	url := serve(t, `
	sse_push /events {
		user query userId
		internal /_sse {
			allow loopback
		}
	}`+pages(t))
	route := harness.Route{URL: url + "/_sse"}
	tab := openSource(t, harness.NewProfile(t), url)
	harness.Eval[int](tab, `window.heard = ours('/events?userId=ann'), 0`)
	connects(tab, 1)

	tab.Freeze(true)
	harness.EventuallyEqual(t, "streams of the frozen page", 0, func() int { return route.Connections(t, "ann") })
	route.Publish(t, harness.Event{"user": "ann", "data": `"meanwhile"`})
	tab.Freeze(false)
	connects(tab, 2)
	route.Publish(t, harness.Event{"user": "ann", "data": `"after"`})
	tab.Wait(`heard.events.at(-1).data === '"after"'`)
	var got []string
	for _, e := range eventsOf(tab) {
		if e.Type != "sse:connected" {
			got = append(got, e.Type+" "+trimQuotes(e.Data))
		}
	}
	if want := []string{"message meanwhile", "message after"}; !slices.Equal(got, want) {
		t.Errorf("the page heard %q, want %q", got, want)
	}
}

// The JavaScript client works in a worker, with URLs relative to the worker's own.
func TestClientInWorker(t *testing.T) {
	t.Parallel()
	url := serve(t, `
	sse_push /events {
		user query userId
		internal /_sse {
			allow loopback
		}
	}`+pages(t))
	tab := openSource(t, harness.NewProfile(t), url)
	harness.Eval[int](tab, `window.heard = [], new Worker('/worker.js', { type: 'module' }).onmessage = (event) => heard.push(event.data), 0`)
	tab.Wait(`heard.includes('open')`)
	harness.Route{URL: url + "/_sse"}.Publish(t, harness.Event{"user": "ann", "data": "to the worker"})
	tab.Wait(`heard.at(-1) === 'to the worker'`)
}

// trimQuotes undoes what the page does to data that is not JSON.
func trimQuotes(s string) string {
	if len(s) > 1 && s[0] == '"' {
		return s[1 : len(s)-1]
	}
	return s
}
