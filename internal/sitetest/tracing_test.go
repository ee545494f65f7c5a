package sitetest_test

import (
	"bytes"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// Caddy's own tracing, and a collector: the spans of a publish are in the trace that its sender has begun.
func TestTracing(t *testing.T) {
	var mu sync.Mutex
	var sent [][]byte // bodies, in which names and ids stand as they are
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		sent = append(sent, body)
	}))
	t.Cleanup(collector.Close)
	t.Setenv("OTEL_TRACES_EXPORTER", "otlp")
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
	s := sitetest.Serve(t, "tracing\n"+sitetest.Route(""))
	c := s.Open("/events?userId=ann")

	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	event := sitetest.IDOf(t, s.Do("POST", "/_sse/publish", "user=ann&data=traced", "Content-Type", sitetest.FormType, "traceparent", "00-"+id+"-00f067aa0ba902b7-01"))
	c.Want("traced")
	raw, _ := hex.DecodeString(id)
	for _, want := range []string{"sse_push publish", "sse_push deliver", "sse_push.hub", event, string(raw)} {
		brokertest.Eventually(t, "a span with "+want, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return bytes.Contains(bytes.Join(sent, nil), []byte(want))
		})
	}

	// One that is not sampled has none.
	mu.Lock()
	sent = nil
	mu.Unlock()
	other := sitetest.IDOf(t, s.Do("POST", "/_sse/publish", "user=ann&data=not", "Content-Type", sitetest.FormType, "traceparent", "00-"+id+"-00f067aa0ba902b7-00"))
	last := sitetest.IDOf(t, s.Do("POST", "/_sse/publish", "user=ann&data=again", "Content-Type", sitetest.FormType, "traceparent", "00-"+id+"-00f067aa0ba902b7-01"))
	brokertest.Eventually(t, "the next span", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return bytes.Contains(bytes.Join(sent, nil), []byte(last))
	})
	mu.Lock()
	defer mu.Unlock()
	if bytes.Contains(bytes.Join(sent, nil), []byte(other)) {
		t.Error("what is not sampled is traced")
	}
}
