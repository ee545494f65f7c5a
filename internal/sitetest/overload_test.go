package sitetest_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/membroker"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

func init() { caddy.RegisterModule(laggingBroker{}) }

// laggingBroker opens a log that is read no further while the test holds the gate.
type laggingBroker struct{}

var gate sync.Mutex

func (laggingBroker) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sse_push.brokers.lagging", New: func() caddy.Module { return new(laggingBroker) }}
}

func (*laggingBroker) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return nil
}

func (laggingBroker) LogKey() string { return "lagging" }

func (laggingBroker) Open(string) (broker.Broker, error) { return laggingLog{membroker.Open()}, nil }

type laggingLog struct{ broker.Broker }

func (l laggingLog) Tail(ctx context.Context, last int, to broker.Sink) error {
	return l.Broker.Tail(ctx, last, laggingSink{to})
}

type laggingSink struct{ broker.Sink }

func (s laggingSink) Deliver(batch []broker.Entry) {
	gate.Lock()
	defer gate.Unlock()
	s.Sink.Deliver(batch)
}

// A hub that lags makes publishers wait for a while, and then says so; all that it has taken comes in the end.
func TestOverload(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route("broker lagging"))
	c := s.Open("/events?userId=u1")
	gate.Lock()
	release := sync.OnceFunc(gate.Unlock)
	defer release()
	data := strings.Repeat("x", 1<<20)
	stored := 0
	for {
		a := s.Do("POST", "/_sse/publish?user=u1", data, "Content-Type", "text/plain")
		if a.Status == http.StatusOK {
			if stored++; stored > 100 {
				t.Fatal("nothing bounds the lag")
			}
			continue
		}
		if p := sitetest.ProblemOf(t, a); a.Status != http.StatusTooManyRequests || a.Header.Get("Retry-After") == "" || p.Detail != broker.ErrOverloaded.Error() {
			t.Errorf("got %d %v %+v", a.Status, a.Header, p)
		}
		break
	}
	if a := s.Do("POST", "/_sse/publish", `[{"user": "u1", "data": "x"}]`, "Content-Type", "application/json"); a.Status != http.StatusOK ||
		!strings.Contains(a.Body, `"status":429`) || !strings.Contains(a.Body, `"index":0`) {
		t.Errorf("got %d %s for a batch", a.Status, a.Body)
	}
	if stored < 16 {
		t.Errorf("refused after %d MiB", stored)
	}
	release()
	for range stored {
		if m := c.Next(); m.Data != data {
			t.Fatalf("got %s %.40q", m.Type, m.Data)
		}
	}
}
