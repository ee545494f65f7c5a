package natsbroker_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/natsbroker"
)

// BenchmarkAppend measures appends of 120 bytes: one after the other, 64 at once, and in groups of 256.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct {
		name          string
		writers, size int
	}{{"one", 1, 1}, {"64 at once", 64, 1}, {"groups of 256", 1, 256}} {
		b.Run(c.name, func(b *testing.B) {
			n := open(b, "h", natsbroker.Options{Servers: []string{start(b, current(b), "").url()}})
			put(b, n, "warm")
			var wait sync.WaitGroup
			work := make(chan int)
			for range c.writers {
				wait.Go(func() {
					for size := range work {
						group := make([]broker.Record, size)
						for i := range group {
							group[i] = event(string(make([]byte, 120)))
						}
						for _, r := range n.Append(context.Background(), group) {
							if r.Err != nil {
								b.Error(r.Err)
							}
						}
					}
				})
			}
			b.ResetTimer()
			for left := b.N; left > 0; left -= c.size {
				work <- min(c.size, left)
			}
			close(work)
			wait.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkTail measures from before a publish to its delivery on another node.
func BenchmarkTail(b *testing.B) {
	url := start(b, current(b), "").url()
	from, to := open(b, "h", natsbroker.Options{Servers: []string{url}}), open(b, "h", natsbroker.Options{Servers: []string{url}})
	came := make(arrivals, 1)
	go func() { _ = to.Tail(b.Context(), 0, came) }()
	put(b, from, "warm")
	<-came
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		put(b, from, "x")
		took = append(took, (<-came).Sub(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

// arrivals is a sink that tells when entries come.
type arrivals chan time.Time

func (a arrivals) Begin(broker.Position) {}
func (a arrivals) State(error)           {}

func (a arrivals) Deliver(batch []broker.Entry) {
	for range batch {
		a <- time.Now()
	}
}
