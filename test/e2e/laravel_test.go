package e2e_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	neturl "net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

// A Laravel app, with the framework as Debian packages it, the package of clients/php/laravel, and Laravel Echo with the connector of
// clients/js: public, private and presence channels, whispers, events to others only, and a user who may hear nothing.
func TestLaravel(t *testing.T) {
	t.Parallel()
	app := harness.Dir(t)
	if err := os.CopyFS(app, os.DirFS(testdata(t, "laravel"))); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"bootstrap/cache", "storage/framework/cache", "storage/framework/sessions", "storage/framework/views"} {
		if err := os.MkdirAll(filepath.Join(app, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	fpm := harness.StartFPM(t, 4, "CLIENTS_PHP="+filepath.Join(harness.Root(), "clients", "php"))
	var published atomic.Int64
	caddyfile, url := site(t, `
	sse_push /events {
		user authorize /whoami {
			cookies laravel_session
		}
		topics public/*
		presence guarded/users 1s
		two_way
		retry 500ms
		internal /_sse {
			allow loopback
		}
	}
	root `+filepath.Join(app, "public")+`
	handle_path /clients/* {
		root `+filepath.Join(harness.Root(), "clients")+`
		file_server
	}
	handle_path /node_modules/* {
		root `+filepath.Join(harness.Root(), "test", "node_modules")+`
		file_server
	}
	php_fastcgi `+fpm.Address+` {
		env SSE_PUSH_URL $ROUTE/_sse
	}
	file_server`)
	hub, err := neturl.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	route := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		if r.In.URL.Path == "/_sse/publish" {
			published.Add(1)
		}
		r.SetURL(hub)
	}})
	t.Cleanup(route.Close)
	harness.StartCaddy(t, harness.Replace(t, "the Caddyfile", caddyfile, "$ROUTE", route.URL))
	if status, body, _ := harness.Fetch(t, url+"/"); status != http.StatusOK {
		t.Fatalf("the app answers %d: %.2000s", status, body)
	}

	open := func(name string) *harness.Tab {
		t.Helper()
		return harness.NewProfile(t).OpenTab(t, url+"/login/"+name)
	}
	ann := open("ann")
	ann.Wait(`entered.has('news') && entered.has('orders.7') && entered.has('room')`)
	ben := open("ben")
	ben.Wait(`entered.has('news') && entered.has('orders.7') && entered.has('room')`)
	const room = `[...here].sort().join()`
	for _, tab := range []*harness.Tab{ann, ben} {
		tab.Wait(room + ` === 'Ann,Ben'`)
	}
	eve := open("eve") // logged in, but channels.php lets her into neither
	eve.Wait(`entered.has('news') && failed.length === 2`)

	// An event that ann's page causes, to others only. It goes to two channels by one request, so that it is heard in both or in
	// none: a job that fails runs again.
	ship := func(tab *harness.Tab, order int) {
		t.Helper()
		before := published.Load()
		status := harness.Eval[int](tab, fmt.Sprintf(`fetch('/ship/%d', { method: 'POST', headers: { 'X-CSRF-TOKEN': token, 'X-Socket-ID': echo.socketId() } }).then((r) => r.status)`, order))
		if status != http.StatusNoContent {
			t.Fatalf("the app answers %d", status)
		}
		if n := published.Load() - before; n != 1 {
			t.Errorf("the app published by %d requests, want 1", n)
		}
	}
	const heard = `[...heard].sort().join()`
	ship(ann, 7)
	ben.Wait(heard + ` === 'news 7,order 7'`)
	eve.Wait(heard + ` === 'news 7'`)
	ship(ben, 8)
	ann.Wait(heard + ` === 'news 8'`) // and not the one that it has caused
	ben.Wait(heard + ` === 'news 7,order 7'`)

	harness.Eval[bool](ben, `(echo.private('orders.7').whisper('typing', { by: 'Ben' }), true)`)
	ann.Wait(heard + ` === 'Ben is typing,news 8'`)
	harness.Eval[bool](eve, `(echo.private('orders.7').whisper('typing', { by: 'Eve' }), true)`)
	eve.Wait(`failed.length === 3 && failed.every((status) => status === 403)`)

	// Leaving a channel, and leaving for good.
	harness.Eval[bool](ann, `(echo.leave('room'), true)`)
	ben.Wait(room + ` === 'Ben'`)
	cleo := open("cleo")
	cleo.Wait(room + ` === 'Ben,Cleo'`)
	cleo.Close()
	ben.Wait(room + ` === 'Ben'`)

	// A page that was away hears what it missed, in guarded channels, too.
	harness.Eval[bool](ben, `(echo.connector.disconnect(), heard.length = 0, true)`)
	ben.Wait(`echo.connectionStatus() === 'disconnected'`)
	ship(ann, 7)
	harness.Eval[bool](ben, `(echo.connector.connect(), true)`)
	ben.Wait(heard + ` === 'news 7,order 7'`)
	if got := harness.Eval[string](eve, heard); got != "news 7,news 7,news 8" && got != "news 7,news 8" {
		t.Errorf("eve has heard %q", got)
	}
}
