package filebroker

import (
	"log/slog"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

// harness has a log of small segments, so that there is something to trim.
func harness(t testing.TB) brokertest.Harness {
	dir := t.TempDir()
	o := Options{Log: slog.New(slog.DiscardHandler), segment: 4 << 10}
	return brokertest.Harness{
		Open: func(t testing.TB, _ *brokertest.Proxy) broker.Broker {
			h, err := Open(dir, o)
			if err != nil {
				t.Fatal(err)
			}
			return h
		},
		Shared: true, // by handles of one process
		Keeps:  true,
		Trim: func(t testing.TB, keep int) {
			h, err := Open(dir, o)
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			h.log.remove(func() (n int) {
				for n+1 < len(h.log.segments) && h.log.segments[n+1].first+uint64(keep) <= h.log.visible+1 {
					n++
				}
				return n
			})
		},
		Fresh: harness,
	}
}

func TestConformance(t *testing.T) { brokertest.Run(t, harness(t)) }
