package sitetest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

func init() { caddy.RegisterModule(stallingWriter{}) }

// stallingWriter is a log whose reader can stop reading.
type stallingWriter struct{}

// pipe is what it has got; it takes nothing while a test holds it.
var pipe struct {
	sync.Mutex
	bytes.Buffer
}

func (stallingWriter) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.logging.writers.stalling", New: func() caddy.Module { return new(stallingWriter) }}
}

func (stallingWriter) String() string { return "stalling" }

func (stallingWriter) WriterKey() string { return "stalling" }

func (stallingWriter) OpenWriter() (io.WriteCloser, error) { return stallingWriter{}, nil }

func (stallingWriter) Close() error { return nil }

func (stallingWriter) Write(b []byte) (int, error) {
	pipe.Lock()
	defer pipe.Unlock()
	return pipe.Buffer.Write(b)
}

// A log that is not read stops no stream. The lines are written when it is read again.
func TestStalledLogStopsNoStream(t *testing.T) {
	sitetest.OverAll(t, func(t *testing.T, protocol, tls string) {
		body := sitetest.Crowded(tls, "", "")
		s := sitetest.Serve(t, body)
		config, err := sitetest.Adapt([]*sitetest.Site{s}, body)
		if err != nil {
			t.Fatal(err)
		}
		var root map[string]any
		if err := json.Unmarshal(config, &root); err != nil {
			t.Fatal(err)
		}
		root["logging"].(map[string]any)["logs"].(map[string]any)["default"].(map[string]any)["writer"] = map[string]string{"output": "stalling"}
		if config, err = json.Marshal(root); err != nil {
			t.Fatal(err)
		}
		if err := sitetest.LoadConfig([]*sitetest.Site{s}, config); err != nil {
			t.Fatal(err)
		}
		s.Via(protocol)
		stay := s.Crowd(8, "/events?userId=u1&topic=room")
		gone := s.Crowd(50, "/events?userId=u2&topic=room")
		s.Publish("topic", "room", "data", "0")
		sitetest.TakeAll(t, 0, append(stay, gone...)...)

		pipe.Lock()
		pipe.Reset()
		read := sync.OnceFunc(pipe.Unlock)
		defer read()
		sitetest.Leave(gone)
		s.Publish("topic", "room", "data", "1")
		sitetest.TakeAll(t, 1, stay...)
		brokertest.Eventually(t, "those who left are gone", func() bool { return sitetest.Get[userCount](s, "/_sse/users/u2").Connections == 0 })
		read()
		brokertest.Eventually(t, "their lines are written", func() bool {
			pipe.Lock()
			defer pipe.Unlock()
			return strings.Count(pipe.String(), "connection ended") == len(gone)
		})
		sitetest.Leave(stay)
	})
}

// What a client can cause to be logged at will is logged once a minute.
func TestOneLineAMinute(t *testing.T) {
	cases := []struct{ name, body, target, line string }{
		{"an upstream that fails", `sse_push /events {
				upstream
			}
			respond 500`, "/events", "the app behind the subscribe route failed"},
		{"first events that are too large", `sse_push /events {
				upstream
			}
			handle {
				header X-SSE-Hold stream
				respond "data: ` + strings.Repeat("x", 300<<10) + `"
			}`, "/events", "first events are too large"},
		{"an answer that cannot be read", `sse_push /events {
				upstream
			}
			handle {
				header X-SSE-Hold stream
				header X-SSE-User "a\x01"
				header X-SSE-Expires never
				respond ""
			}`, "/events", "the app's answer to a subscribe request"},
		{"X-SSE-Publish that cannot be read", publishing("{"), "/", "X-SSE-Publish cannot be read"},
		{"X-SSE-Publish that is refused", publishing("broadcast=1&data=x"), "/", "X-SSE-Publish: an event was not published"},
		{"X-SSE-Publish that is too large", publishing(strings.Repeat("x", 20<<10)), "/", "X-SSE-Publish is too large"},
	}
	var bodies []string
	for i, c := range cases {
		bodies = append(bodies, strings.Replace(c.body, "sse_push /events {", fmt.Sprint("sse_push /events {\nhub h", i), 1))
	}
	for i, s := range sitetest.ServeAll(t, bodies...) {
		c := cases[i]
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := s.In(t)
			var asking sync.WaitGroup
			for range 20 {
				asking.Go(func() {
					resp, err := s.HTTP.Do(s.Request(t.Context(), http.MethodGet, c.target, nil, []string{"Accept", "text/event-stream"}))
					if err != nil {
						t.Error(err)
						return
					}
					defer resp.Body.Close()
					if _, err := io.ReadFull(resp.Body, make([]byte, 1)); err != nil && err != io.EOF {
						t.Error(err)
					}
				})
			}
			asking.Wait()
			if n := strings.Count(s.Log(), c.line); n != 1 {
				t.Errorf("%d lines", n)
			}
		})
	}
}

// publishing is a site whose app publishes by a header.
func publishing(header string) string {
	return `sse_push /events {
			user query userId
			publish_header topic
		}
		header X-SSE-Publish "` + strings.ReplaceAll(header, `"`, `\"`) + `"
		respond "next"`
}

// handling reports whether a request to the directive waits for something.
func handling() bool {
	buf := make([]byte, 1<<20)
	for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		state, calls, _ := strings.Cut(stack, "\n")
		waits := strings.Contains(state, "[select") || strings.Contains(state, "[chan receive")
		if waits && strings.Contains(calls, "caddy-sse-push.(*Handler).ServeHTTP(") {
			return true
		}
	}
	return false
}

// A client that leaves while it is identified, or while it waits for the broker, counts as no rejection and is not complained of.
func TestTornRequestsAreNoRejections(t *testing.T) {
	over := make(chan struct{})
	app := appServer(t, func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-over: // a question goes on without the client that it was asked for
		}
	})
	t.Cleanup(func() { close(over) })
	tear := func(t *testing.T, s *sitetest.Site, headers ...string) {
		for range 5 {
			ctx, cancel := context.WithCancel(context.Background())
			var asking sync.WaitGroup
			asking.Go(func() {
				if resp, err := s.HTTP.Do(s.Request(ctx, http.MethodGet, "/events?userId=u1", nil, append(headers, "Accept", "text/event-stream"))); err == nil {
					resp.Body.Close()
					t.Error("answered")
				}
			})
			brokertest.Eventually(t, "it is under way", handling)
			cancel()
			asking.Wait()
			brokertest.Eventually(t, "it is over", func() bool { return !handling() })
		}
		for series, n := range s.Scrape() {
			if strings.HasPrefix(series, "sse_push_rejected_total") && n > 0 {
				t.Errorf("%s: %v", series, n)
			}
		}
		for _, line := range []string{"refused", "failed"} {
			if strings.Contains(s.Log(), line) {
				t.Errorf("it was complained of: %s", s.Log())
			}
		}
	}
	t.Run("broker", func(t *testing.T) {
		s := sitetest.Serve(t, sitetest.Route("broker lagging")+sitetest.Metrics)
		gate.Lock()
		release := sync.OnceFunc(gate.Unlock)
		defer release()
		s.Publish("user", "u1", "data", "x")
		tear(t, s)
	})
	t.Run("authorize", func(t *testing.T) {
		tear(t, sitetest.Serve(t, `sse_push /events {
				user authorize `+app+`
			}`+sitetest.Metrics), "Cookie", "a=b")
	})
	t.Run("upstream", func(t *testing.T) {
		tear(t, sitetest.Serve(t, `sse_push /events {
				upstream
			}
			`+sitetest.Metrics+`
			reverse_proxy `+app))
	})
}

// appServer returns the address of an app.
func appServer(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL
}
