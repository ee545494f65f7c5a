package filebroker

import (
	"errors"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/hubtest"
)

// harness has a log of small segments, so that there is something to trim.
func harness(t testing.TB) brokertest.Harness {
	dir := t.TempDir()
	d := &disk{}
	o := Options{Logger: slog.New(slog.DiscardHandler), segment: 4 << 10, wrap: d.wrap}
	return brokertest.Harness{
		Open: func(t testing.TB, _ *brokertest.Proxy) broker.Broker {
			b, err := Open(dir, o)
			if err != nil {
				t.Fatal(err)
			}
			return b
		},
		Shared:    true, // by handles of one process
		Keeps:     true,
		InProcess: true,
		Trim: func(t testing.TB, keep int) {
			b, err := Open(dir, o)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			b.log.remove(func() (n int) {
				for n+1 < len(b.log.segments) && b.log.segments[n+1].first+uint64(keep) <= b.log.visible+1 {
					n++
				}
				return n
			})
		},
		Full: func(testing.TB) func() {
			d.set(func() { d.write, d.short, d.allocates = syscall.ENOSPC, 50, syscall.ENOSPC })
			return func() { d.set(func() { d.write, d.allocates = nil, nil }) }
		},
		Put: func(t testing.TB, stored []byte) {
			b := opened(t, dir, o)
			r := newRequest(make([]broker.Record, 1))
			r.encoded, r.ends[0] = stored, len(stored)
			b.log.requests <- r
			<-r.done
			if err := errors.Join(r.results[0].Err, b.Close()); err != nil {
				t.Fatal(err)
			}
		},
		Fresh: harness,
	}
}

func TestConformance(t *testing.T) {
	brokertest.Run(t, harness(t))
	hubtest.Run(t, harness(t))
}

// BenchmarkBroker has segments of the usual size.
func BenchmarkBroker(b *testing.B) {
	log := usual(b)
	brokertest.Bench(b, log)
	hubtest.Bench(b, log)
}

func usual(t testing.TB) brokertest.Harness {
	dir := t.TempDir()
	o := quiet(Options{Sync: 100 * time.Millisecond})
	o.segment = 0
	return brokertest.Harness{
		Open: func(t testing.TB, _ *brokertest.Proxy) broker.Broker {
			b, err := Open(dir, o)
			if err != nil {
				t.Fatal(err)
			}
			return b
		},
		Shared: true, Keeps: true, Fresh: usual,
		Size: func(t testing.TB) (n int64) {
			b := opened(t, dir, o)
			b.log.mu.Lock()
			defer b.log.mu.Unlock()
			for _, s := range b.log.segments {
				n += s.end + int64(len(s.marks)*markSize)
			}
			return n
		},
	}
}
