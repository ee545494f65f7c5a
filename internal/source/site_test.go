package source

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/broker/membroker"
	"github.com/sse-push/caddy-sse-push/internal/guard"
	"github.com/sse-push/caddy-sse-push/internal/identity"
	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/subscribe"
)

// site is a route that shares the streams of an app, in a time of its own.
type site struct {
	t     *testing.T
	ref   *pool.Ref
	route *Route
	calls chan *call
}

// call is a request to the app.
type call struct {
	*http.Request
	w    http.ResponseWriter
	at   time.Time
	over chan struct{}
}

// serveSite runs a test with a site.
func serveSite(t *testing.T, settings Settings, test func(s *site)) {
	synctest.Test(t, func(t *testing.T) {
		s := &site{t: t, calls: make(chan *call, 100)}
		s.load(settings)
		defer func() {
			if err := s.ref.Release(); err != nil {
				t.Error(err)
			}
		}()
		test(s)
	})
}

// load puts a config in force, as a reload does if there is one already.
func (s *site) load(settings Settings) {
	s.t.Helper()
	must := func(err error) {
		if err != nil {
			s.t.Fatal(err)
		}
	}
	settings.SetDefaults()
	old := s.ref
	s.ref = pool.NewRef(s.t.Name(), membroker.Module{}, zap.NewNop())
	must(s.ref.Join(&pool.Settings{}, nil))
	chain, err := identity.NewChain(identity.Settings{Path: "/clock", Anonymous: true}, zap.NewNop(), new(problem.Complaints))
	must(err)
	policy, err := guard.NewCORS(nil, nil, nil)
	must(err)
	var timing subscribe.Timing
	timing.SetDefaults()
	s.route = New(Config{
		Settings: settings, Hub: s.ref, Log: zap.NewNop(), Complaints: new(problem.Complaints),
		Route: subscribe.New(subscribe.Config{Path: "/clock", Timing: timing, Chain: chain, CORS: policy, Hub: s.ref, Log: zap.NewNop()}),
	})
	must(s.ref.Open())
	s.ref.Apply()
	if old != nil {
		must(old.Release())
	}
}

// ServeHTTP is the app: it waits until the test ends its answer, or the proxy leaves.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) error {
	c := &call{Request: r, w: w, at: time.Now(), over: make(chan struct{})}
	s.calls <- c
	select {
	case <-c.over:
	case <-r.Context().Done():
	}
	return nil
}

// next returns the next request to the app, however long it takes.
func (s *site) next() *call {
	s.t.Helper()
	select {
	case c := <-s.calls:
		return c
	case <-time.After(24 * time.Hour):
		s.t.Fatal("waited in vain for a request to the app")
		return nil
	}
}

// none fails if the app has got another request.
func (s *site) none() {
	s.t.Helper()
	synctest.Wait()
	if n := len(s.calls); n > 0 {
		s.t.Fatalf("the app has got %d more requests", n)
	}
}

// send begins the answer as a stream if it has not begun, and sends text.
func (c *call) send(text string) {
	c.w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(c.w, text)
	synctest.Wait()
}

// end ends the answer.
func (c *call) end() { close(c.over) }

// left returns when the proxy left, and waits for that.
func (c *call) left(t *testing.T) time.Time {
	t.Helper()
	select {
	case <-c.Context().Done():
		return time.Now()
	case <-time.After(24 * time.Hour):
		t.Fatal("waited in vain for the proxy to leave")
		return time.Time{}
	}
}

// listener is a client of the site.
type listener struct {
	answer *httptest.ResponseRecorder
	leave  context.CancelFunc
	over   chan struct{}
}

// listen asks for the stream. The client stays until it leaves.
func (s *site) listen() *listener {
	ctx, leave := context.WithCancel(s.t.Context())
	l := &listener{httptest.NewRecorder(), leave, make(chan struct{})}
	r := httptest.NewRequest(http.MethodGet, "/clock", nil).WithContext(ctx)
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set("Cookie", "session=1")
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), l.answer, nil)
	go func() {
		defer close(l.over)
		if err := s.route.Serve(l.answer, r, r.URL, s); err != nil {
			s.t.Error(err)
		}
	}()
	synctest.Wait()
	return l
}

// data returns what the client has got so far of the app's events.
func (l *listener) data() string {
	synctest.Wait()
	var got []string
	for line := range strings.Lines(l.answer.Body.String()) {
		if data, ok := strings.CutPrefix(line, "data: "); ok && !strings.HasPrefix(data, "{") {
			got = append(got, strings.TrimSpace(data))
		}
	}
	return strings.Join(got, " ")
}
