package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

// crossOrigin is a site that knows its users by their cookie, and pages of two other origins, of which one is listed.
func crossOrigin(t *testing.T) (api, listed, other string) {
	t.Helper()
	port := harness.Port(t)
	listed, other = "http://localhost:"+port, "http://127.0.0.1:"+port
	caddyfile, api := site(t, `
	sse_push /events {
		user cookie who
		user query who
		retry 500ms
		cors_origins `+listed+`
		internal /_sse {
			allow loopback
		}
	}`)
	harness.StartCaddy(t, caddyfile+listed+", "+other+" {"+pages(t)+"}")
	return api, listed, other
}

func login(tab *harness.Tab, user string) {
	harness.Eval[string](tab, fmt.Sprintf(`document.cookie = 'who=%s'`, user))
}

func TestCrossOriginListed(t *testing.T) {
	t.Parallel()
	api, listed, _ := crossOrigin(t)
	route := harness.Route{URL: api + "/_sse"}
	tab := openSource(t, harness.NewProfile(t), listed)
	login(tab, "ann")

	for name, call := range map[string]string{"EventSource": "native", "SsePush": "ours"} {
		t.Run(name, func(t *testing.T) {
			harness.Eval[int](tab, fmt.Sprintf(`window.heard = %s('%s/events', { withCredentials: true }), 0`, call, api))
			connects(tab, 1)
			route.Publish(t, harness.Event{"user": "ann", "data": `"from elsewhere"`})
			tab.Wait(`heard.events.at(-1).data === '"from elsewhere"'`)

			// It resumes, too, which needs Last-Event-ID to pass.
			id := eventsOf(tab)[0].Data
			_, id, _ = strings.Cut(id, `"connection":"`)
			id, _, _ = strings.Cut(id, `"`)
			route.Call(t, "DELETE", "/connections/"+id, nil, nil)
			route.Publish(t, harness.Event{"user": "ann", "data": `"missed"`})
			connects(tab, 2)
			tab.Wait(`heard.events.at(-1).data === '"missed"'`)
		})
	}
	t.Run("fetch", func(t *testing.T) {
		last := eventsOf(tab)[0].ID // so that it gets all that came after
		harness.Eval[int](tab, fmt.Sprintf(`window.heard = fetched('%s/events', { topic: [] }, { 'Last-Event-ID': %q, 'Cache-Control': 'no-cache' }), 0`, api, last))
		tab.Wait(`heard.text.includes('data: "missed"')`)
	})
}

func TestCrossOriginWithoutCredentials(t *testing.T) {
	t.Parallel()
	api, listed, _ := crossOrigin(t)
	tab := openSource(t, harness.NewProfile(t), listed)
	login(tab, "ann")
	harness.Eval[int](tab, fmt.Sprintf(`window.heard = native('%s/events'), 0`, api))
	tab.Wait(`heard.source.readyState === EventSource.CLOSED`)
	// The client may read the status, and so can say that it is final.
	harness.Eval[int](tab, fmt.Sprintf(`window.heard = ours('%s/events'), 0`, api))
	tab.Wait(`heard.push.state === 'refused' && heard.states.at(-1) === 'refused 401'`)
}

func TestCrossOriginNotListed(t *testing.T) {
	t.Parallel()
	api, _, other := crossOrigin(t)
	route := harness.Route{URL: api + "/_sse"}
	tab := openSource(t, harness.NewProfile(t), other)
	for _, credentials := range []bool{true, false} {
		harness.Eval[int](tab, fmt.Sprintf(`window.heard = native('%s/events?who=ann', { withCredentials: %t }), 0`, api, credentials))
		tab.Wait(`heard.source.readyState === EventSource.CLOSED && heard.errors === 1`)
		if n := len(eventsOf(tab)); n > 0 {
			t.Errorf("the page heard %d events", n)
		}
	}
	harness.Eval[int](tab, fmt.Sprintf(`window.heard = fetched('%s/events?who=ann', {}, { 'Last-Event-ID': 'x' }), 0`, api))
	tab.Wait(`heard.error.includes('TypeError')`)
	if n := route.Connections(t, ""); n > 0 {
		t.Errorf("%d connections, want none", n)
	}
}
