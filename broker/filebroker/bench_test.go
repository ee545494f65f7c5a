package filebroker

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// event returns an event of a usual size.
func event(data []byte) broker.Record {
	return broker.Record{Targets: []broker.Target{{Kind: broker.User, Name: "user-4711"}}, Type: "order", Data: data}
}

// BenchmarkAppend appends from several goroutines, several records at a time.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct {
		name                string
		sync                time.Duration
		goroutines, records int
	}{
		{"always/1x1", Always, 1, 1}, {"always/64x1", Always, 64, 1}, {"100ms/64x1", 100 * time.Millisecond, 64, 1},
		{"100ms/1x256", 100 * time.Millisecond, 1, 256}, {"never/1x256", Never, 1, 256}, {"never/4x256", Never, 4, 256},
	} {
		b.Run(c.name, func(b *testing.B) {
			log := opened(b, b.TempDir(), Options{Sync: c.sync})
			data := make([]byte, 120)
			b.ResetTimer()
			each := b.N/c.goroutines/c.records + 1
			done := make(chan error)
			for range c.goroutines {
				go func() {
					var err error
					for range each {
						records := make([]broker.Record, c.records)
						for i := range records {
							records[i] = event(data)
						}
						for _, r := range log.Append(b.Context(), records) {
							if r.Err != nil {
								err = r.Err
							}
						}
					}
					done <- err
				}()
			}
			for range c.goroutines {
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(each*c.goroutines*c.records)/b.Elapsed().Seconds(), "appends/s")
		})
	}
}

// BenchmarkGiB opens a log of 1 GiB after a crash, and reads pages from anywhere in it.
func BenchmarkGiB(b *testing.B) {
	for _, keyed := range []bool{false, true} {
		b.Run(fmt.Sprintf("keyed=%t", keyed), func(b *testing.B) { benchmarkGiB(b, keyed) })
	}
}

func benchmarkGiB(b *testing.B, keyed bool) {
	dir := b.TempDir()
	o := Options{Sync: Never, MaxBytes: 1 << 30, Logger: slog.New(slog.DiscardHandler)}
	log := opened(b, dir, o)
	data := make([]byte, 120)
	for n, size := 0, int64(0); size < 1<<30; size += 256 * 200 {
		records := make([]broker.Record, 256)
		for i := range records {
			if records[i] = event(data); keyed {
				n++
				records[i].Key = fmt.Sprint("key-", n)
			}
		}
		if r := log.Append(b.Context(), records); r[0].Err != nil {
			b.Fatal(r[0].Err)
		}
	}
	crash(b, log)
	b.Run("recovery", func(b *testing.B) {
		for b.Loop() {
			log = opened(b, dir, o)
			b.StopTimer()
			crash(b, log)
			b.StartTimer()
		}
	})
	for _, first := range []bool{true, false} { // the first read in its segment, or a later one
		b.Run(fmt.Sprintf("read/first=%t", first), func(b *testing.B) {
			log := opened(b, dir, o)
			begin, end := log.start().Minor, log.tip().Minor
			var worst time.Duration
			for b.Loop() {
				if first {
					for _, s := range log.log.segments[:len(log.log.segments)-1] {
						s.marked, s.marks = false, nil
					}
				}
				start := time.Now()
				entries, err := log.Read(b.Context(), log.log.table.position(begin+rand.Uint64N(end-begin-64)), log.tip(), 64)
				if err != nil || len(entries) != 64 {
					b.Fatal(len(entries), err)
				}
				worst = max(worst, time.Since(start))
			}
			b.ReportMetric(float64(worst.Microseconds())/1000, "worst-ms")
			b.ReportMetric(float64(end-begin), "entries")
		})
	}
	_ = os.RemoveAll(dir)
}

// BenchmarkTail measures how fast entries get from Append to the sink.
func BenchmarkTail(b *testing.B) {
	log := opened(b, b.TempDir(), Options{Sync: Never})
	s := follow(b, log, 0)
	data := make([]byte, 120)
	b.ResetTimer()
	for n := 0; n < b.N; n += 256 {
		records := make([]broker.Record, 256)
		for i := range records {
			records[i] = event(data)
		}
		log.Append(b.Context(), records)
	}
	s.await(b, log.log.visible)
	b.ReportMetric(float64(log.log.visible)/b.Elapsed().Seconds(), "entries/s")
}
