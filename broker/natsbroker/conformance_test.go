package natsbroker_test

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/broker/natsbroker"
)

func TestConformance(t *testing.T) {
	each(t, func(t *testing.T, binary string) { brokertest.Run(t, harness(binary)) })
}

func harness(binary string) brokertest.Harness {
	return brokertest.Harness{
		Shared: true, Keeps: true,
		Addr: "127.0.0.1", Engine: new(server), Trim: func(testing.TB, int) {}, // replaced in each case
		Fresh: func(t testing.TB) brokertest.Harness { return fresh(t, binary) },
	}
}

// fresh is a harness on a server of its own.
func fresh(t testing.TB, binary string) brokertest.Harness {
	s := start(t, binary, "")
	h := harness(binary)
	h.Addr, h.Engine = s.addr(), s
	h.Open = func(t testing.TB, p *brokertest.Proxy) broker.Broker {
		url := s.url()
		if p != nil {
			url = "nats://" + p.Addr()
		}
		return natsbroker.New("hub", natsbroker.Options{Servers: []string{url}})
	}
	h.Trim = func(t testing.TB, keep int) {
		stream := s.stream(t, "sse_push-hub")
		option := jetstream.WithPurgeKeep(uint64(keep))
		if keep == 0 {
			option = jetstream.WithPurgeSequence(stream.CachedInfo().State.LastSeq + 1)
		}
		if err := stream.Purge(t.Context(), option); err != nil {
			t.Fatal(err)
		}
	}
	return h
}
