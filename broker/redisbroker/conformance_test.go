package redisbroker

import (
	"testing"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

func TestConformance(t *testing.T) {
	brokertest.Run(t, harness(start(t)))
}

func harness(s *server) brokertest.Harness {
	return brokertest.Harness{
		Open: func(t testing.TB, p *brokertest.Proxy) broker.Broker {
			return s.node(t, func(o *Options) {
				if p != nil {
					o.URL = "redis://" + p.Addr()
				}
			})
		},
		Addr: s.addr, Shared: true, Keeps: true, Engine: s, Trim: s.trim,
		Fresh: func(t testing.TB) brokertest.Harness { return harness(start(t)) },
	}
}
