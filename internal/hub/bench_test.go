package hub_test

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/membroker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// drainAll is a client without a network: it takes everything, and reports each frame but the first.
func drainAll(b *testing.B, h *hub.Hub, sub hub.Subscription, frames chan<- int) {
	c, err := h.Subscribe(context.Background(), sub)
	if err != nil {
		b.Fatal(err)
	}
	wake := waker(c)
	connected := make(chan struct{})
	go func() {
		defer c.Close(nil)
		var buf [][]byte
		first := true
		for {
			var err error
			buf, err = c.Next(buf[:0], 64<<10)
			n := len(buf)
			if first && n > 0 {
				first = false
				n--
				close(connected)
			}
			if n > 0 {
				frames <- n
			}
			if err != nil {
				return
			}
			if len(buf) == 0 {
				<-wake
			}
		}
	}()
	<-connected
}

// BenchmarkBroadcast measures an event to 1,000 connections; ns/delivery is the cost for one of them.
func BenchmarkBroadcast(b *testing.B) {
	const clients = 1000
	h := hub.New("bench", membroker.Open(), settings(10_000, 64<<10))
	defer h.Close()
	frames := make(chan int, clients)
	for range clients {
		drainAll(b, h, hub.Subscription{}, frames)
	}
	data := make([]byte, 120)
	b.ReportAllocs()
	for b.Loop() {
		h.Publish(context.Background(), []broker.Record{{Targets: []broker.Target{{Kind: broker.Broadcast}}, Data: data}})
		for n := 0; n < clients; {
			n += <-frames
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/clients, "ns/delivery")
}

// BenchmarkOneUser measures an event to one of many users. It should not depend on how many there are.
func BenchmarkOneUser(b *testing.B) {
	for _, clients := range []int{100, 10_000} {
		b.Run(strconv.Itoa(clients), func(b *testing.B) {
			h := hub.New("bench", membroker.Open(), settings(10_000, 64<<10))
			defer h.Close()
			frames := make(chan int, clients)
			for i := range clients {
				drainAll(b, h, hub.Subscription{User: "u" + strconv.Itoa(i)}, frames)
			}
			data := make([]byte, 120)
			b.ReportAllocs()
			for b.Loop() {
				h.Publish(context.Background(), []broker.Record{{Targets: []broker.Target{{Kind: broker.User, Name: "u7"}}, Data: data}})
				<-frames
			}
		})
	}
}

// BenchmarkMatched measures an event to 100 of 10,000 connections with matchers, by what these are; ns/delivery is the cost for one of
// them. Each connection listens to one of 100 topics, by its name or by a pattern, which many share or none does. What else it has
// matches nothing, but may begin as the topic does, so that it has to be looked at.
func BenchmarkMatched(b *testing.B) {
	const clients, groups = 10_000, 100
	topicOf := func(i int) string { return fmt.Sprint("https://x/", i%groups, "/y") }
	patterns := map[between]hub.Pattern{}
	pattern := func(prefix, suffix string) hub.Pattern {
		key := between{prefix, suffix}
		if patterns[key] == nil {
			patterns[key] = &key
		}
		return patterns[key]
	}
	for _, test := range []struct {
		name     string
		matchers func(i int) hub.Matchers
	}{
		{"names", func(i int) hub.Matchers { return hub.Matchers{Names: []string{topicOf(i)}} }},
		{"shared patterns", func(i int) hub.Matchers {
			return hub.Matchers{Patterns: []hub.Pattern{pattern("https://x/", fmt.Sprint("/", i%groups, "/y"))}}
		}},
		{"10 matchers", func(i int) hub.Matchers {
			m := hub.Matchers{Names: []string{topicOf(i)}}
			for k := range 9 {
				m.Names = append(m.Names, fmt.Sprint("https://x/", i, "/", k))
			}
			return m
		}},
		{"200 matchers", func(i int) hub.Matchers {
			m := hub.Matchers{Names: []string{topicOf(i)}}
			for k := range 199 {
				m.Names = append(m.Names, fmt.Sprint("https://x/", i%500, "/", k))
			}
			return m
		}},
		{"patterns of their own", func(i int) hub.Matchers {
			return hub.Matchers{Names: []string{topicOf(i)}, Patterns: []hub.Pattern{pattern("https://x/", fmt.Sprint("/z", i))}}
		}},
		{"grants", func(i int) hub.Matchers {
			return hub.Matchers{Names: []string{topicOf(i)}, Granted: grants{topicOf(i)}}
		}},
	} {
		b.Run(test.name, func(b *testing.B) {
			h := hub.New("bench", membroker.Open(), settings(10_000, 64<<10))
			defer h.Close()
			frames := make(chan int, clients)
			for i := range clients {
				m := test.matchers(i)
				drainAll(b, h, hub.Subscription{Matchers: &m}, frames)
			}
			private := test.name == "grants"
			data := make([]byte, 120)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				h.Publish(context.Background(), []broker.Record{{
					Targets: []broker.Target{{Kind: broker.Topic, Name: topicOf(i)}}, Public: !private, ID: "urn:1", Data: data,
				}})
				for n := 0; n < 2*clients/groups; { // an event is two frames
					n += <-frames
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(clients/groups), "ns/delivery")
		})
	}
}

// BenchmarkResume measures a client that resumes after it has missed 50 of the window's 10,000 events.
func BenchmarkResume(b *testing.B) {
	h := hub.New("bench", membroker.Open(), settings(10_000, 64<<10))
	defer h.Close()
	var from string
	for i := range 10_000 {
		to := "other"
		if i%200 == 0 {
			to = "u"
		}
		r := h.Publish(context.Background(), []broker.Record{{Targets: []broker.Target{{Kind: broker.User, Name: to}}, Data: make([]byte, 120)}})
		if i == 0 {
			from = r[0].Position.String()
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		c, err := h.Subscribe(context.Background(), hub.Subscription{User: "u", LastEventID: from})
		if err != nil {
			b.Fatal(err)
		}
		total := 0
		for frames := [][]byte(nil); ; {
			if frames, err = c.Next(frames[:0], 64<<10); err != nil || len(frames) == 0 {
				break
			}
			total += len(frames)
		}
		if total != 50 { // connected, and the 49 after the first
			b.Fatalf("got %d frames", total)
		}
		c.Close(nil)
	}
}

// BenchmarkCatchUp measures a client that gets all of the window's 20,000 events of 2.5 KB: of one topic, or of one topic each,
// by a pattern. publish-ns is how long the publish of another takes meanwhile to get into the window.
func BenchmarkCatchUp(b *testing.B) {
	const events = 20_000
	for _, topics := range []int{1, events} {
		b.Run(fmt.Sprint(topics, " topics"), func(b *testing.B) {
			s := settings(100_000, 64<<10)
			s.History.Bytes = 128 << 20
			h := hub.New("bench", membroker.Open(), s)
			defer h.Close()
			data := make([]byte, 2500)
			for i := range events {
				h.Publish(context.Background(), []broker.Record{{
					Targets: []broker.Target{{Kind: broker.Topic, Name: fmt.Sprint("public/", i%topics)}}, Data: data,
				}})
			}
			stop := make(chan struct{})
			var took, publishes atomic.Int64
			defer close(stop)
			go func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(time.Millisecond):
					}
					began := time.Now()
					h.Publish(context.Background(), []broker.Record{{Targets: []broker.Target{{Kind: broker.User, Name: "other"}}, Data: data[:100]}})
					_, _ = h.Position(context.Background())
					took.Add(int64(time.Since(began)))
					publishes.Add(1)
				}
			}()
			for b.Loop() {
				c, err := h.Subscribe(context.Background(), hub.Subscription{Topics: []string{"public/*"}, Replay: events})
				if err != nil {
					b.Fatal(err)
				}
				total := -1 // connected
				for frames := [][]byte(nil); ; {
					if frames, err = c.Next(frames[:0], 16<<10); err != nil || len(frames) == 0 {
						break
					}
					total += len(frames)
				}
				if total != events {
					b.Fatalf("got %d events", total)
				}
				c.Close(nil)
			}
			b.ReportMetric(float64(took.Load())/float64(publishes.Load()), "publish-ns")
		})
	}
}
