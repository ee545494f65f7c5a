package sitetest_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

func init() {
	caddy.RegisterModule(oddHandler{})
	httpcaddyfile.RegisterHandlerDirective("odd_handler", func(httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) { return new(oddHandler), nil })
}

// oddHandler answers as no handler should, in the way that the parameter `how` says.
type oddHandler struct{}

// stubborn lets the handlers go that ignore their contexts.
var stubborn = make(chan bool)

func (oddHandler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.odd", New: func() caddy.Module { return new(oddHandler) }}
}

func (oddHandler) UnmarshalCaddyfile(*caddyfile.Dispenser) error { return nil }

func (oddHandler) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	how := r.URL.Query().Get("how")
	rc := http.NewResponseController(w)
	switch how {
	case "panic at once":
		panic("odd")
	case "error":
		return caddyhttp.Error(http.StatusTeapot, errors.New("odd"))
	case "nothing":
		return nil
	}
	w.Header().Set("Link", "</a.css>")
	w.WriteHeader(http.StatusEarlyHints)
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	if _, _, err := rc.Hijack(); !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("it could be hijacked: %w", err)
	}
	if err := rc.SetWriteDeadline(time.Now()); !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("it took a deadline: %w", err)
	}
	if body, err := io.ReadAll(r.Body); err != nil || len(body) > 0 {
		return fmt.Errorf("it has a body: %w", err)
	}
	if _, err := io.Copy(w, strings.NewReader("data: one\n\n")); err != nil {
		return err
	}
	if err := rc.Flush(); err != nil {
		return err
	}
	switch how {
	case "panic later":
		panic("odd")
	case "stubborn":
		<-stubborn
	}
	return nil
}

// Whatever the site's handlers do, Caddy lives on, and the client that asked is told.
func TestSourceOddHandlers(t *testing.T) {
	s := sitetest.Serve(t, `sse_push /clock {
		hub main
		anonymous
		source {
			share everyone
			linger 300ms
		}
	}
	handle_errors {
		respond "error {err.status_code}" {err.status_code}
	}
	route {
		odd_handler
	}`)
	for how, want := range map[string]int{"panic+at+once": 0, "error": http.StatusTeapot, "nothing": http.StatusOK} {
		a := s.Do("GET", "/clock?how="+how, "", "Accept", sitetest.EventStream)
		if want == 0 {
			if !strings.Contains(a.Body, "sse:rejected") {
				t.Errorf("%s: got %+v", how, a)
			}
		} else if a.Status != want || want != 200 && a.Body != fmt.Sprintf("error %d", want) {
			t.Errorf("%s: got %+v", how, a)
		}
	}
	later := s.Open("/clock?how=panic+later")
	later.Want("one")
	brokertest.Eventually(t, "the log says so", func() bool { return s.Logged("a handler of the site has failed", "odd") })
	later.Want("one") // of the next stream: nothing was missed
	later.Close()
	wantSources(t, 0)

	// A handler that ignores its context is never beside another: who comes back hears the source that is there.
	c := s.Open("/clock?how=stubborn")
	c.Want("one")
	c.Close()
	c = s.Open("/clock?how=stubborn")
	c.Want("one")
	stubborn <- true
	c.Close()
	wantSources(t, 0)
}

// Routes of one path are different routes: a client of one does not hear the other's stream, whatever Host it sends.
func TestSourceOfAnotherRoute(t *testing.T) {
	open, closed := sitetest.NewStreamer(t), sitetest.NewStreamer(t)
	directive := func(app *sitetest.Streamer) string {
		return "sse_push /clock {\nhub main\nanonymous\nsource {\nshare everyone\n}\n}\nreverse_proxy " + app.Address
	}
	sites := sitetest.ServeAll(t, "@inside header X-Inside yes\nroute @inside {\n"+directive(closed)+"\n}\nroute {\n"+directive(open)+"\n}", directive(closed))
	type visit struct {
		site    *sitetest.Site
		app     *sitetest.Streamer
		headers []string
	}
	for i, v := range []visit{
		{sites[0], closed, []string{"X-Inside", "yes", "Host", "a.example"}}, {sites[0], open, []string{"Host", "a.example"}}, {sites[1], closed, []string{"Host", "a.example"}},
	} {
		coming := opening(v.site, "/clock", v.headers...)
		upstream := v.app.Next()
		upstream.Send(fmt.Sprintf("data: %d\n\n", i))
		(<-coming).Begin().Want(fmt.Sprint(i))
	}
}
