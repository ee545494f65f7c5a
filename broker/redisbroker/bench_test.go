package redisbroker

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/sse-push/caddy-sse-push/broker"
)

// cpu is what the server has used.
func (s *server) cpu(b *testing.B) time.Duration {
	b.Helper()
	info, _ := redis.String(s.do(b, "INFO", "cpu"), nil)
	sum := 0.0
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_sys" || name == "used_cpu_user" {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				b.Fatal(err)
			}
			sum += n
		}
	}
	return time.Duration(sum * 1e9)
}

// BenchmarkAppend publishes one event a call, from many goroutines.
func BenchmarkAppend(b *testing.B) {
	for _, callers := range []int{64, 512} {
		b.Run(strconv.Itoa(callers), func(b *testing.B) {
			s := start(b)
			n := s.node(b)
			data := string(make([]byte, 300))
			store(b, n, data)
			work := make(chan struct{}, callers)
			var all sync.WaitGroup
			for range callers {
				all.Go(func() {
					for range work {
						if r := n.Append(context.Background(), []broker.Record{event(data)}); r[0].Err != nil {
							b.Error(r[0].Err)
						}
					}
				})
			}
			before := s.cpu(b)
			b.ResetTimer()
			for range b.N {
				work <- struct{}{}
			}
			close(work)
			all.Wait()
			b.ReportMetric((s.cpu(b)-before).Seconds()*1e6/float64(b.N), "redis-cpu-µs/op")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkAppendGroup publishes 64 events a call.
func BenchmarkAppendGroup(b *testing.B) {
	n := start(b).node(b)
	data := string(make([]byte, 300))
	for b.Loop() {
		group := make([]broker.Record, 64)
		for i := range group {
			group[i] = event(data)
		}
		if r := n.Append(context.Background(), group); r[63].Err != nil {
			b.Fatal(r[63].Err)
		}
	}
	b.ReportMetric(64*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// arrivals are when entries came.
type arrivals chan time.Time

func (a arrivals) Begin(broker.Position) {}
func (a arrivals) State(error)           {}
func (a arrivals) Deliver(batch []broker.Entry) {
	for range batch {
		a <- time.Now()
	}
}

// BenchmarkAcross is how long an event takes from one node to the Tail of another.
func BenchmarkAcross(b *testing.B) {
	s := start(b)
	from, to := s.node(b), s.node(b)
	came := make(arrivals, 1)
	go to.Tail(b.Context(), 0, came)
	store(b, from, "warm")
	started(b, from, 10)
	for drained := false; !drained; {
		select {
		case <-came:
		case <-time.After(3 * time.Second):
			drained = true
		}
	}
	var took []time.Duration
	for b.Loop() {
		sent := time.Now()
		store(b, from, "x")
		took = append(took, (<-came).Sub(sent))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

// BenchmarkTail reads a log of 100,000 entries from its beginning.
func BenchmarkTail(b *testing.B) {
	s := start(b)
	n := s.node(b)
	for range 100_000 / 500 {
		group := make([]broker.Record, 500)
		for i := range group {
			group[i] = event(string(make([]byte, 300)))
		}
		n.Append(context.Background(), group)
	}
	for b.Loop() {
		reader := s.node(b)
		v, err := reader.view(b.Context(), reader.main, broker.Position{}, "XRANGE", "+", "+", 0)
		if err != nil {
			b.Fatal(err)
		}
		started(b, reader, int(v.length)).stop()
		reader.Close()
	}
	b.ReportMetric(100_000*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
