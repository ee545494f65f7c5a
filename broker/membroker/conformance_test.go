package membroker_test

import (
	"testing"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/broker/membroker"
	"github.com/sse-push/caddy-sse-push/internal/hubtest"
)

func harness(testing.TB) brokertest.Harness {
	return brokertest.Harness{
		Open:      func(testing.TB, *brokertest.Proxy) broker.Broker { return membroker.Open() },
		InProcess: true, Fresh: harness,
	}
}

func TestConformance(t *testing.T) {
	brokertest.Run(t, harness(t))
	hubtest.Run(t, harness(t))
}

func BenchmarkBroker(b *testing.B) {
	h := harness(b)
	brokertest.Bench(b, h)
	hubtest.Bench(b, h)
}
