package hubtest

import (
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// Bench measures how much memory an event takes.
func Bench(b *testing.B, h brokertest.Harness) {
	b.Run("memory", func(b *testing.B) { benchMemory(b, h) })
}

// benchMemory stores 20,000 entries, and reports how many bytes one takes: of the engine's memory or the disk, and of a hub's
// window.
func benchMemory(b *testing.B, h brokertest.Harness) {
	const entries = 20_000
	var log, window int64
	for range b.N {
		h := h.Fresh(b)
		s := hub.New("bench", h.Open(b, nil), hub.Settings{History: hub.History{Events: 2 * entries, Age: time.Hour, Bytes: 1 << 30}})
		brokertest.Eventually(b, "the hub is ready", func() bool { return s.Health() == nil })
		publish := func(n int) {
			records := make([]broker.Record, n)
			for i := range records {
				records[i] = about("t", string(make([]byte, 120)))
			}
			results := s.Publish(b.Context(), records)
			if err := results[n-1].Err; err != nil {
				b.Fatal(err)
			}
			end := results[n-1].Position
			brokertest.Eventually(b, "all has come", func() bool { p, err := s.Position(b.Context()); return err == nil && p.Compare(end) >= 0 })
		}
		size := func() (n int64) {
			if h.Size != nil {
				n = h.Size(b)
			}
			return n
		}
		publish(100)
		logBefore, heapBefore := size(), heap()
		for range entries / 100 {
			publish(100)
		}
		log += size() - logBefore
		window += heap() - heapBefore
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	}
	all := float64(entries * b.N)
	if log == 0 {
		log = window
	}
	b.ReportMetric(float64(log)/all, "B/entry")
	b.ReportMetric(float64(window)/all, "window-B/entry")
}
