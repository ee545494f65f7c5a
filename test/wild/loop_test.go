package wild_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

// startLoop starts an app that streams by itself: an event every 300 ms, and no header that tells a proxy what to do. It returns the
// app's address.
func startLoop(t *testing.T) string {
	t.Helper()
	app := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		tick := time.NewTicker(300 * time.Millisecond)
		defer tick.Stop()
		for {
			fmt.Fprintf(w, "data: %s\n\n", time.Now().Format(time.StampMilli))
			w.(http.Flusher).Flush()
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			}
		}
	}))
	l, err := net.Listen("tcp4", "127.0.0.1:"+harness.Port(t))
	if err != nil {
		t.Fatal(err)
	}
	app.Listener.Close()
	app.Listener = l
	app.Start()
	t.Cleanup(func() {
		app.CloseClientConnections()
		app.Close()
	})
	return l.Addr().String()
}

// loops are fronts of such an app. That Varnish gives all clients one and the same answer, nothing tells from outside.
var loops = []row{
	{front: "nginx", name: "as it comes", code: "buffered", mended: true, short: true},
	{front: "nginx", name: "done right", page: []string{"server"}},
	{front: "Apache", name: "as it comes"},
	{front: "HAProxy", name: "as it comes"},
	{front: "HAProxy", name: "compressing", code: "compressed", mended: true,
		lines: harness.Lines{"backend": "compression algo gzip\ncompression type text/event-stream"}},
	{front: "Varnish", name: "done right", page: []string{"vcl"}},
	{front: "Squid", name: "as it comes"},
	{front: "lighttpd", name: "as it comes", code: "buffered", mended: true},
	{front: "lighttpd", name: "done right", page: []string{"config"}},
	{front: "h2o", name: "as it comes"},
	{front: "Traffic Server", name: "as it comes"},
	{front: "Caddy", name: "as it comes"},
	{front: "Caddy", name: "compressing", code: "compressed", lines: harness.Lines{"site": "encode zstd gzip\nreverse_proxy /events hub:8080"}},
}

// The same for an app that streams by itself, and in which nothing can be published.
func TestFrontsOfALoop(t *testing.T) {
	app, snippets := startLoop(t), page(t)
	for _, r := range loops {
		if !r.short && !all() {
			continue
		}
		r.also = append(r.also, "cacheable", "no-ids", "no-retry", "own-stream", "h1-only")
		t.Run(r.front+"/"+r.name, func(t *testing.T) {
			t.Parallel()
			lines := r.on(t, snippets)
			ask := func(lines harness.Lines) (report, string) {
				front := harness.StartFront(t, r.front, app, lines)
				url := front.HTTPS
				if url == "" {
					url = front.HTTP
				}
				return examine(t, url+"/events", "--origin-url", "http://"+app, "--idle", "2500ms", "--insecure")
			}
			found, text := ask(lines)
			r.expect(t, found, text)
			i := slices.IndexFunc(found.Findings, func(f finding) bool { return f.Code == r.code })
			if i < 0 || !r.mended {
				return
			}
			healed, text := ask(r.mend(t, lines, found.Findings[i].Mend))
			r.expectHealed(t, healed, text)
		})
	}
}
