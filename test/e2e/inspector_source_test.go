package e2e_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/sse-push/caddy-sse-push/test/harness"
	"github.com/sse-push/caddy-sse-push/test/modelapi"
)

const pricesPath = "/prices/of/everything/that/is/traded/anywhere/in/the/world/at/this/moment.php"

// fetchingSite is a site that shares streams of an app and fetches from a model API, with an inspector.
func fetchingSite(app, api string) string {
	return strings.Replace(inspectorSite, "inspector /_inspect", `hub main
		relay {
			to `+api+` private
		}
		inspector /_inspect`, 1) + `
	sse_push /clock {
		hub main
		anonymous
		source {
			share everyone
		}
	}
	sse_push ` + pricesPath + ` {
		hub main
		anonymous
		source {
			share everyone
		}
	}
	reverse_proxy ` + strings.TrimPrefix(app, "http://") + `
`
}

// An operator sees the streams that are shared and fetched, why they fail, and who hears them, and stops one. All of it works by
// keyboard, and nothing is wider than the screen.
func TestInspectorOfSourcesAndRelays(t *testing.T) {
	t.Parallel()
	var down atomic.Bool
	failing := make(chan bool)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ends := r.URL.Path == pricesPath
		if ends && down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: "+r.URL.Path+"\n\n")
		_ = http.NewResponseController(w).Flush()
		if ends {
			select {
			case <-failing:
				return
			case <-r.Context().Done():
			}
		}
		<-r.Context().Done()
	}))
	t.Cleanup(app.Close)
	api := modelapi.Start(t, modelapi.Answer{Tokens: 100_000, Rate: 20})
	site := serve(t, fetchingSite(app.URL, api.URL))
	start := func(id, path string, more map[string]any) {
		t.Helper()
		body := map[string]any{"id": id, "user": "u1", "request": map[string]any{"url": api.URL + path, "body": map[string]any{"stream": true}}}
		for name, value := range more {
			body[name] = value
		}
		if status := (harness.Route{URL: site + "/_sse"}).Call(t, http.MethodPost, "/relays", body, nil); status != http.StatusAccepted {
			t.Fatalf("starting %s: %d", id, status)
		}
	}
	harness.Open(t, site+"/clock")
	harness.Open(t, site+"/clock")
	harness.Open(t, site+pricesPath)
	start("chat-7-42", "/v1/chat/completions", nil)
	start("chat-7-41", "/v1/chat/completions?tokens=5&rate=1000", nil)
	start("chat-"+strings.Repeat("long-", 20), "/v1/nothing?x=1", map[string]any{"user": strings.Repeat("a-very-long-name-", 10)})
	page := harness.Open(t, site+"/events?userId=u1&relay=chat-7-42")
	page.Next()
	down.Store(true)
	failing <- true

	tab := openInspector(t, site)
	tab.Press(`#tab-connections`, kb.End)
	tab.Press(`#tab-slowest`, kb.ArrowLeft)
	tab.Wait(`document.activeElement.id === 'tab-relays' && ` + textOf(`#rows td.name`) + `.includes('chat-7-42')`)
	tab.Press(`#tab-relays`, kb.ArrowLeft)
	tab.Wait(`document.activeElement.id === 'tab-sources'`)
	tab.Wait(textOf(`#rows td[data-label=State]`) + ` === 'open|waiting: the app answered with status 503'`)
	tab.Wait(textOf(`#rows td[data-label=Listeners]`) + ` === '2|1'`)
	tab.Wait(textOf(`#counts [data-bad]`) + `.includes('Sources2 (1 failing)')`)
	looks(t, tab, "inspector-sources")

	tab.Press(`#tab-sources`, kb.ArrowRight)
	const states = `#rows td[data-label=State]`
	tab.Wait(textOf(states) + ` === 'failed: the upstream answered 404, text/plain|complete|running'`)
	looks(t, tab, "inspector-relays")
	tab.Press(`#rows tr:last-child button:last-child`, kb.Enter)
	tab.Wait(`document.getElementById('confirm').open && document.activeElement.textContent === 'Cancel'`)
	tab.Screenshot("inspector-stop")
	tab.Press(`#confirm [value=yes]`, kb.Enter)
	tab.Wait(`document.getElementById('done').textContent === 'Stopped relay chat-7-42'`)
	tab.Wait(textOf(states) + `.endsWith('|complete|cancelled: it was stopped')`)
	if n := harness.Eval[int](tab, `[...document.querySelectorAll('#rows button')].filter((b) => b.textContent === 'Stop').length`); n != 0 {
		t.Errorf("%d relays that have ended can be stopped", n)
	}
	if status, events := relayEnd(page); status != "cancelled" || events == 0 {
		t.Errorf("the page got %d events, and then %s", events, status)
	}
	wantKept(t, tab, site)
}
