package sitetest_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/api"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// sourcesOf asks the internal route for the sources.
func sourcesOf(s *sitetest.Site, query string) (list api.SourceList) {
	s.T.Helper()
	a := s.Do("GET", "/_sse/sources"+query, "")
	if err := json.Unmarshal([]byte(a.Body), &list); err != nil || a.Status != 200 {
		s.T.Fatalf("got %d %s", a.Status, a.Body)
	}
	return list
}

// Operators see sources by the internal route, the admin endpoint, the commands, explanations and metrics.
func TestSourceViews(t *testing.T) {
	app := sitetest.NewStreamer(t)
	s, o := operated(t, shared(app, "", "share everyone")+sitetest.Metrics)
	if list := sourcesOf(s, ""); list.Sources == nil || len(list.Sources) != 0 || list.Total != 0 {
		t.Errorf("before the first: %+v", list)
	}
	wantMetrics(s, map[string]float64{
		`sse_push_sources{hub="main"}`: 0, `sse_push_source_events_total{hub="main"}`: 0, `sse_push_source_dropped_total{hub="main"}`: 0,
		`sse_push_source_dropped_ids_total{hub="main"}`: 0, `sse_push_sources_failing{hub="main"}`: 0,
		`sse_push_source_upstreams_total{hub="main",outcome="stream"}`: 0,
	})

	c := s.Open("/clock")
	upstream := app.Next()
	text := "event: tick\ndata: one\n\nevent: sse:forged\ndata: two\n\nid: " + strings.Repeat("x", 200) + "\nevent: tick\ndata: three\n\n"
	upstream.Send(text)
	c.Want("one", "three")
	other := s.Open("/clock?zone=utc")
	app.Next()

	brokertest.Eventually(t, "the source counts what its client has got", func() bool { return sourcesOf(s, "").Sources[0].Events == 2 })
	list := sourcesOf(s, "")
	if len(list.Sources) != 2 || list.Total != 2 || list.Next != "" {
		t.Fatalf("got %+v", list)
	}
	first := list.Sources[0]
	if first.Path != "/clock" || first.Shared != "everyone" || first.State != "open" || first.Listeners != 1 || first.Asking != 0 || first.Events != 2 ||
		first.Bytes != uint64(len(text)) || first.LastEvent == nil || first.Reopened != 0 || first.LastError != "" || first.Since.IsZero() {
		t.Errorf("got %+v", first)
	}
	if second := list.Sources[1]; second.ID == first.ID || second.Events != 0 || second.LastEvent != nil || second.Listeners != 1 {
		t.Errorf("got %+v", second)
	}

	// Page by page.
	page := sourcesOf(s, "?limit=1")
	if len(page.Sources) != 1 || page.Sources[0].ID != first.ID || page.Total != 2 || page.Next == "" {
		t.Errorf("the first page: %+v", page)
	}
	if page = sourcesOf(s, "?limit=1&after="+page.Next); len(page.Sources) != 1 || page.Sources[0].ID != list.Sources[1].ID || page.Next != "" {
		t.Errorf("the second page: %+v", page)
	}
	if a := s.Do("GET", "/_sse/sources?user=u1", ""); a.Status != 400 || !strings.Contains(a.Body, `"field":"user"`) {
		t.Errorf("an unknown parameter: got %d %s", a.Status, a.Body)
	}
	if a := s.Do("DELETE", "/_sse/sources", ""); a.Status != 405 {
		t.Errorf("DELETE: got %d", a.Status)
	}
	if byAdmin := askFor[api.SourceList](t, adminEndpoint(t), "/sse_push/hubs/main/sources"); byAdmin.Total != 2 || byAdmin.Sources[0].ID != first.ID {
		t.Errorf("the admin endpoint: %+v", byAdmin)
	}

	// The commands.
	got := o.run("sources")
	if lines := strings.Split(got.out, "\n"); got.code != 0 || len(lines) < 3 || !strings.HasPrefix(lines[0], "SOURCE") || !strings.Contains(lines[1], first.ID) ||
		!strings.Contains(lines[1], "/clock") || !strings.Contains(lines[1], "everyone") || !strings.Contains(lines[1], "open") {
		t.Errorf("sources: %+v", got)
	}
	if got = o.run("explain", "--", c.Connected.Connection); got.code != 0 || !strings.Contains(got.out, "it listens to the shared source /clock") {
		t.Errorf("explain: %+v", got)
	}

	upstream.End() // it is opened again
	app.Next()
	other.Close()
	wantMetrics(s, map[string]float64{
		`sse_push_sources{hub="main"}`: 2, `sse_push_source_events_total{hub="main"}`: 2, `sse_push_source_bytes_total{hub="main"}`: float64(len(text)),
		`sse_push_source_dropped_total{hub="main"}`: 1, `sse_push_source_dropped_ids_total{hub="main"}`: 1, `sse_push_source_upstreams_total{hub="main",outcome="stream"}`: 1,
		`sse_push_source_upstreams_total{hub="main",outcome="broken"}`: 0, `sse_push_connections{hub="main",mode="held",protocol="h1"}`: 1,
	})
}

// Operators see that the app fails, and that it does so no longer. The hub can be used meanwhile.
func TestSourceThatFailsIsSeen(t *testing.T) {
	app := sitetest.NewStreamer(t)
	status := failing(app)
	s, o := operated(t, shared(app, "", "share everyone")+sitetest.Metrics)
	c, upstream := begun(s, app, "/clock", "retry: 1\ndata: one\n\n")
	type health struct {
		Status  string
		Failing int `json:"sources_failing"`
	}
	if h := sitetest.Get[health](s, "/_sse/health"); h.Status != "ready" || h.Failing != 0 {
		t.Errorf("got %+v", h)
	}
	status.Store(503)
	upstream.End()
	wantMetrics(s, map[string]float64{`sse_push_sources{hub="main"}`: 1, `sse_push_sources_failing{hub="main"}`: 1})
	if h := sitetest.Get[health](s, "/_sse/health"); h.Status != "ready" || h.Failing != 1 {
		t.Errorf("got %+v", h)
	}
	o.run("hubs").want(t, 0, "1 (1 failing)")
	o.run("sources").want(t, 0, "the app answered with status 503")
	if !s.Logged("the stream of a source has failed", "503", "/clock") {
		t.Error("the log does not tell of it")
	}
	status.Store(0)
	app.Next().Send("data: two\n\n")
	c.Want("two")
	wantMetrics(s, map[string]float64{`sse_push_sources{hub="main"}`: 1, `sse_push_sources_failing{hub="main"}`: 0})
	if h := sitetest.Get[health](s, "/_sse/health"); h.Failing != 0 {
		t.Errorf("got %+v", h)
	}
}

// Clients that leave before the app has answered are no failure of the app.
func TestSourceThatIsLeftIsNoFailure(t *testing.T) {
	app, asked := sitetest.NewStreamer(t), make(chan bool, 1)
	app.Answer = func(_ http.ResponseWriter, r *http.Request) bool {
		asked <- true
		<-r.Context().Done()
		return true
	}
	s := sitetest.Serve(t, shared(app, "", "share everyone\nlinger 300ms")+sitetest.Metrics)
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan bool)
	go func() {
		defer close(gone)
		if resp, err := s.HTTP.Do(s.Request(ctx, "GET", "/clock", nil, []string{"Accept", sitetest.EventStream})); err == nil {
			resp.Body.Close()
		}
	}()
	<-asked
	leave()
	<-gone
	wantMetrics(s, map[string]float64{
		`sse_push_sources{hub="main"}`: 0, `sse_push_source_upstreams_total{hub="main",outcome="left"}`: 1,
		`sse_push_source_upstreams_total{hub="main",outcome="error"}`: 0, `sse_push_source_upstreams_total{hub="main",outcome="slow"}`: 0,
	})
}
