package sitetest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// The doctor examines a shared stream, to which it can publish nothing, and finds that the app fails.
func TestDoctorOfSource(t *testing.T) {
	app := sitetest.NewStreamer(t)
	status := failing(app)
	s, o := operated(t, shared(app, "", "share everyone")+sitetest.Metrics)
	_, upstream := begun(s, app, "/clock", "retry: 1\ndata: one\n\n")
	examine := func() outcome {
		return o.run("doctor", s.URL+"/clock", "--publish", s.URL+"/_sse", "--quick")
	}
	got := examine()
	if got.code != 0 || !strings.Contains(got.out, "the log main.sources") || strings.Contains(got.out, "buffered") || strings.Contains(got.out, "sources-failing") {
		t.Errorf("got %+v", got)
	}
	status.Store(http.StatusServiceUnavailable)
	upstream.End()
	wantMetrics(s, map[string]float64{`sse_push_sources_failing{hub="main"}`: 1})
	examine().want(t, 1, "sources-failing")
}
