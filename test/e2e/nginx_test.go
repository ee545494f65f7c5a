package e2e_test

import (
	"net/http"
	"testing"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

// bare is all that a site in front has to say.
func bare(caddy string) string { return nginxServer("proxy_pass " + caddy + ";") }

func saying(caddy string) string {
	return nginxServer("proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_pass " + caddy + ";")
}

func nginxServer(location string) string {
	return "server { listen 127.0.0.1:$PORT; location / { " + location + " } }"
}

// nginx buffers, speaks HTTP/1.0 and would compress: an event that is here while its stream is open has come through at once.
func TestNginxPassesEventsAtOnce(t *testing.T) {
	caddy := demo(t)
	route := harness.Route{URL: caddy + "/_sse"}
	front := harness.StartNginx(t, bare(caddy))

	tab := openDemo(t, harness.NewProfile(t), front, "ann")
	stream := harness.Open(t, front+"/events?userId=ann", "Accept-Encoding", "gzip")
	stream.Connected()
	for _, data := range []string{"one", "two", "three"} {
		route.Publish(t, harness.Event{"user": "ann", "event": "hello", "data": data})
		stream.Expect(data) // each by itself
	}
	tab.Wait(rows("hello") + ` === 'three|two|one'`)
	if got := stream.Header().Get("Content-Encoding"); got != "" {
		t.Errorf("the stream has Content-Encoding %q", got)
	}

	// It notices at once who has gone, too.
	harness.EventuallyEqual(t, "connections of ann", 2, func() int { return route.Connections(t, "ann") })
	stream.Leave()
	harness.EventuallyEqual(t, "connections of ann", 1, func() int { return route.Connections(t, "ann") })
}

func TestNginxInFrontOfAToken(t *testing.T) {
	t.Parallel()
	caddy := serve(t, `
	sse_push /events {
		user query userId
		internal /_sse {
			token s3cret
		}
	}`)
	for name, server := range map[string]func(string) string{"bare": bare, "with X-Forwarded-For": saying} {
		t.Run(name, func(t *testing.T) {
			front := harness.StartNginx(t, server(caddy))
			stream := harness.Open(t, front+"/events?userId=u1")
			stream.Connected()
			e := harness.Event{"user": "u1", "data": "stolen"}
			// A bare proxy on the same host looks like an app on it, which is told what is wrong.
			want := http.StatusUnauthorized
			if name != "bare" {
				want = http.StatusNotFound
			}
			if got := (harness.Route{URL: front + "/_sse"}).Call(t, http.MethodPost, "/publish", e, nil); got != want {
				t.Errorf("without the token: status %d, want %d", got, want)
			}
			if got := (harness.Route{URL: front + "/_sse", Token: "guess"}).Call(t, http.MethodPost, "/publish", e, nil); got != want {
				t.Errorf("with another token: status %d, want %d", got, want)
			}
			harness.Route{URL: front + "/_sse", Token: "s3cret"}.Publish(t, harness.Event{"user": "u1", "data": "ours"})
			stream.Expect("ours")
		})
	}
}

func TestNginxInFrontOfAllow(t *testing.T) {
	t.Parallel()
	caddy := serve(t, `
	sse_push /events {
		user query userId
		internal /_sse {
			allow loopback
		}
	}`)
	front := harness.StartNginx(t, saying(caddy))
	stream := harness.Open(t, front+"/events?userId=u1")
	stream.Connected()
	if got := (harness.Route{URL: front + "/_sse"}).Call(t, http.MethodPost, "/publish", harness.Event{"user": "u1", "data": "stolen"}, nil); got != http.StatusNotFound {
		t.Errorf("through nginx: status %d, want 404", got)
	}
	harness.Route{URL: caddy + "/_sse"}.Publish(t, harness.Event{"user": "u1", "data": "ours"})
	stream.Expect("ours")
}

// To a site behind nginx's plain proxy_pass, each of its own pages looks foreign by its Origin. The browser knows better.
func TestNginxRewritesHost(t *testing.T) {
	t.Parallel()
	front := harness.StartNginx(t, bare(serve(t, inspectorSite)))
	tab := openInspector(t, front)
	harness.Eval[int](tab, `window.heard = 0, fetch('/events', {
		method: 'POST', body: new URLSearchParams({ userId: 'u1' }), headers: { Accept: 'text/event-stream' },
	}).then(response => { window.heard = response.status }), 0`)
	tab.Wait(`window.heard === 200`)
}
