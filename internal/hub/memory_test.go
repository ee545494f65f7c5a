package hub_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/membroker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// BenchmarkConnectionMemory is the heap that a connection takes which nothing waits for: B/conn.
func BenchmarkConnectionMemory(b *testing.B) {
	const clients = 20_000
	route := new(int)
	for name, topics := range map[string][]string{"no topics": nil, "one shared topic": {"public/news"}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				h := hub.New("bench", membroker.New(), settings(10_000, 64<<10))
				before := heap()
				for i := range clients {
					address := fmt.Sprintf("10.1.%d.%d", i/250, i%250)
					c, err := h.Subscribe(b.Context(), hub.Subscription{
						User: fmt.Sprintf("u%d", i), Topics: append([]string(nil), topics...), Remote: address, Address: address, Route: route, Protocol: 1,
					})
					if err != nil {
						b.Fatal(err)
					}
					c.OnWake(func() {})
					if _, err := c.Next(nil, 1<<20); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(heap()-before)/clients, "B/conn")
				_ = h.Close()
			}
		})
	}
}

// heap is what is in use once all garbage is gone.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
