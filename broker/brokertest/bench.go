package brokertest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// Bench measures a broker: appends alone, 64 at once and in groups of 256, and how long an event takes from the
// call of Append on one node to Deliver on another, or on the same node if the log cannot be shared.
func Bench(b *testing.B, h Harness) {
	for _, side := range []struct{ atOnce, group int }{{1, 1}, {64, 1}, {1, 256}, {8, 256}} {
		b.Run(fmt.Sprintf("append/at_once=%d/group=%d", side.atOnce, side.group), func(b *testing.B) {
			benchAppend(b, h.Fresh(b), side.atOnce, side.group)
		})
	}
	b.Run("tail", func(b *testing.B) { benchTail(b, h.Fresh(b)) })
	if h.Keeps {
		b.Run("read", func(b *testing.B) { benchRead(b, h.Fresh(b)) })
	}
}

// sample is an event of 120 bytes.
func sample() broker.Record { return event(string(make([]byte, 120))) }

// discard is a sink that counts entries.
type discard struct {
	n     atomic.Int64
	ready atomic.Bool
}

func (*discard) Begin(broker.Position)        {}
func (d *discard) State(err error)            { d.ready.Store(err == nil) }
func (d *discard) Deliver(all []broker.Entry) { d.n.Add(int64(len(all))) }

// tailing runs a Tail during a benchmark. d is the sink, or a part of it.
func tailing(b *testing.B, n *node, s broker.Sink, d *discard) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = n.Tail(ctx, 0, s)
	}()
	b.Cleanup(func() { cancel(); <-ended })
	Eventually(b, "Tail is up to date", d.ready.Load)
}

// benchAppend appends b.N records from several goroutines.
func benchAppend(b *testing.B, h Harness, atOnce, group int) {
	n := h.open(b, nil)
	d := &discard{}
	tailing(b, n, d, d)
	b.ResetTimer()
	start := time.Now()
	var left atomic.Int64
	left.Store(int64(b.N))
	var appending sync.WaitGroup
	for range atOnce {
		appending.Go(func() {
			for {
				size := int64(group)
				if rest := left.Add(-size); rest <= -size {
					return
				} else if rest < 0 {
					size += rest
				}
				records := make([]broker.Record, size)
				for i := range records {
					records[i] = sample()
				}
				for _, res := range try(n, patience, records...) {
					if res.Err != nil {
						b.Error(res.Err)
						return
					}
				}
			}
		})
	}
	appending.Wait()
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "appends/s")
	Eventually(b, "all has come", func() bool { return d.n.Load() >= int64(b.N) })
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "delivered/s")
}

// arrivals is a sink that sends the time of each delivery.
type arrivals struct {
	discard
	came chan time.Time
}

func (s *arrivals) Deliver([]broker.Entry) { s.came <- time.Now() }

// benchTail measures one event at a time.
func benchTail(b *testing.B, h Harness) {
	nodes := h.nodes(b, 2)
	s := &arrivals{came: make(chan time.Time, 1)}
	tailing(b, nodes[len(nodes)-1], s, &s.discard)
	store(b, nodes[0], sample())
	<-s.came
	took := make([]time.Duration, 0, b.N)
	b.ResetTimer()
	for range b.N {
		start := time.Now()
		store(b, nodes[0], sample())
		took = append(took, (<-s.came).Sub(start))
	}
	slices.Sort(took)
	for _, p := range []int{50, 99} {
		b.ReportMetric(float64(took[len(took)*p/100].Microseconds())/1000, fmt.Sprintf("p%d_ms", p))
	}
}

// benchRead reads pages of 100 from all over a log of 20,000 entries.
func benchRead(b *testing.B, h Harness) {
	n := h.open(b, nil)
	var positions []broker.Position
	for range 200 {
		group := make([]broker.Record, 100)
		for i := range group {
			group[i] = sample()
		}
		positions = append(positions, store(b, n, group...)...)
	}
	took := make([]time.Duration, 0, b.N)
	b.ResetTimer()
	for i := range b.N {
		start := time.Now()
		page, err := n.Read(b.Context(), positions[i*7919%(len(positions)-1)], positions[len(positions)-1], 100)
		if err != nil || len(page) == 0 {
			b.Fatalf("%d entries, %v", len(page), err)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99_ms")
}
