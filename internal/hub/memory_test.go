package hub_test

import (
	"bytes"
	"fmt"
	"runtime"
	"strconv"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/membroker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// BenchmarkConnectionMemory measures the heap that an idle connection takes, in B/conn.
func BenchmarkConnectionMemory(b *testing.B) {
	const clients = 20_000
	attached := attachment(0)
	for name, topics := range map[string][]string{"no topics": nil, "one shared topic": {"public/news"}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				h := hub.New("bench", membroker.Open(), settings(10_000, 64<<10))
				before := heap()
				for i := range clients {
					address := fmt.Sprintf("10.1.%d.%d", i/250, i%250)
					c, err := h.Subscribe(b.Context(), hub.Subscription{
						User: fmt.Sprintf("u%d", i), Topics: append([]string(nil), topics...), Remote: address, Address: address, Attached: attached, Protocol: 1,
					})
					if err != nil {
						b.Fatal(err)
					}
					c.OnWake(wakes(func(bool) {}))
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

// heap returns the bytes in use after a garbage collection.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Pages that are read for clients that then read nothing stay within the budget, except for one event each. Clients that read
// on get everything, once and in order.
func TestPagesAreInTheBudget(t *testing.T) {
	const clients, events = 40, 170
	for _, test := range []struct {
		name         string
		large, every int
		budget       int64
	}{
		{"large events", 256 << 10, 1, 4 << 20},
		{"middling events", 100_000, 1, 4 << 20},
		{"some large events", 256 << 10, 16, 4 << 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := logOf(events)
			data := bytes.Repeat([]byte("x"), test.large)
			for i := range l.entries {
				r := user("u1", strconv.Itoa(i))
				if i%test.every == 0 {
					r.Type, r.Data = strconv.Itoa(i), data
				}
				r.Time, l.entries[i].Record = l.entries[i].Record.Time, r
			}
			s := settings(4, 64<<10)
			s.Limits.Memory = test.budget
			h := hub.New("test", l, s)
			t.Cleanup(func() { _ = h.Close() })
			if _, err := h.Position(t.Context()); err != nil {
				t.Fatal(err)
			}
			before := heap()
			var readers [clients]*reader
			for i := range readers {
				readers[i] = subscribe(t, h, hub.Subscription{User: "u1", LastEventID: position(4 * i).String()})
				readers[i].single()
				readers[i].single()
				if held := h.Held(); held > test.budget {
					t.Fatalf("%d bytes are held", held)
				}
			}
			if took := int64(heap() - before); took > test.budget+2<<20 {
				t.Errorf("%d clients that read nothing take %d bytes", clients, took)
			}
			for i, r := range readers {
				if i%13 > 0 || i < 26 { // the others read nothing to the end
					continue
				}
				for n := 4*i + 2; n < events; n++ {
					m := r.single()
					if want := strconv.Itoa(n); m.Data != want && m.Type != want {
						t.Fatalf("client %d got %s %.20q, want %s", i, m.Type, m.Data, want)
					}
				}
			}
			for _, r := range readers {
				r.conn.Close(nil)
			}
			if pending := h.Stats().Pending; pending != 0 {
				t.Errorf("%d bytes are said to wait", pending)
			}
		})
	}
}
