package identity

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// A slow, an endless and a missing app cost a bounded time, and the client may come again.
func TestAuthorizeFailures(t *testing.T) {
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	socket := filepath.Join(t.TempDir(), "app.sock")
	for name, target := range map[string]string{
		"slow": app(t, func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-release:
			}
		}),
		"endless": app(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-SSE-User", "u1")
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 8<<10)); err != nil {
					return
				}
			}
		}),
		"dripping": app(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-SSE-User", "u1")
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
			case <-release:
			}
		}),
		"endless headers": app(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-SSE-User", "u1")
			w.Header().Set("X-Long", strings.Repeat("a", 2*maxUnread))
		}),
		"not there":        "http://127.0.0.1:1/whoami",
		"no socket":        "unix://" + socket + ":/whoami",
		"no site to speak": "/whoami",
	} {
		t.Run(name, func(t *testing.T) {
			v := authorizerOf(t, Authorize{Target: target, Timeout: caddy.Duration(300 * time.Millisecond)})
			if g, err := v.verify(arriving(asClient("id=1"), nil, "/events")); g != nil || !isSoft(err, "authorize") {
				t.Errorf("got %+v, %v", g, err)
			}
			if n := v.queue.Keys(); n != 0 {
				t.Error("a place is left taken")
			}
		})
	}
}

func TestAuthorizeOverSocket(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "app.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-SSE-User", "of "+r.URL.Path)
	})}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	v := authorizerOf(t, Authorize{Target: "unix://" + socket + ":/whoami"})
	if g, err := v.verify(arriving(asClient("id=1"), nil, "/events")); err != nil || g.User != "of /whoami" {
		t.Errorf("got %+v, %v", g, err)
	}
}

// A handler of the site that panics, or ignores its context, does not harm the process.
func TestAuthorizeSiteHandlers(t *testing.T) {
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	for name, handler := range map[string]http.HandlerFunc{
		"panics":  func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"is deaf": func(http.ResponseWriter, *http.Request) { <-release },
		"is endless": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-SSE-User", "u1")
			for r.Context().Err() == nil {
				if n, err := w.Write(make([]byte, 8<<10)); n != 8<<10 || err != nil {
					t.Error("a write failed: reverse_proxy would panic")
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := authorizerOf(t, Authorize{Target: "/whoami", Timeout: caddy.Duration(300 * time.Millisecond)})
			r := asClient("id=1")
			r = r.WithContext(context.WithValue(r.Context(), caddyhttp.ServerCtxKey, http.Handler(handler)))
			if g, err := v.verify(arriving(r, nil, "/events")); g != nil || !isSoft(err, "authorize") {
				t.Errorf("got %+v, %v", g, err)
			}
		})
	}
}
