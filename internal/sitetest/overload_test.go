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
	// refused publishes until it is refused, and returns how often it was not.
	refused := func(target, body, kind string, says func(a sitetest.Answer) bool) (stored int) {
		for {
			a := s.Do("POST", target, body, "Content-Type", kind)
			if says(a) {
				return stored
			}
			if a.Status != http.StatusOK {
				t.Errorf("got %d %v %s", a.Status, a.Header, a.Body)
				return stored
			}
			if stored++; stored > 1000 {
				t.Error("nothing bounds the lag")
				return stored
			}
		}
	}
	const more = 100 << 10
	var large, small int
	var publishing sync.WaitGroup
	publishing.Go(func() {
		large = refused("/_sse/publish?user=u1", data, "text/plain", func(a sitetest.Answer) bool {
			return a.Status == http.StatusTooManyRequests && a.Header.Get("Retry-After") != "" && sitetest.ProblemOf(t, a).Detail == broker.ErrOverloaded.Error()
		})
	})
	publishing.Go(func() {
		small = refused("/_sse/publish", `[{"user": "u1", "data": "`+data[:more]+`"}]`, "application/json", func(a sitetest.Answer) bool {
			return strings.Contains(a.Body, `"status":429`) && strings.Contains(a.Body, `"index":0`)
		})
	})
	publishing.Wait()
	if mib := large + small*more>>20; mib < 16 || mib > 100 {
		t.Errorf("refused after %d MiB", mib)
	}
	release()
	for range large + small {
		switch m := c.Next(); m.Data {
		case data:
			large--
		case data[:more]:
			small--
		default:
			t.Fatalf("got %s %.40q", m.Type, m.Data)
		}
	}
	if large != 0 || small != 0 {
		t.Errorf("%d large and %d small events are missing", large, small)
	}
}
