package hub_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/membroker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/rules"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

type gap struct {
	Reason, From, To string
	Delay            int
}

func (g gap) covers(p broker.Position) bool {
	to, ok := broker.ParsePosition(g.To)
	return ok && to.Compare(p) >= 0
}

// published is what the oracle knows of an acknowledged event.
type published struct {
	pos    broker.Position
	number int
	target []broker.Target
}

// TestOracle runs publishers, joiners, leavers, resumers and slow clients side by side. Each client must get every acknowledged
// event that matches, once and in order, or a gap that covers it. If the window holds everything, there must be no gap.
func TestOracle(t *testing.T) {
	for _, test := range []struct {
		name    string
		events  int
		pending int64
		gaps    bool
	}{
		{"all in the window", 1 << 20, 64 << 10, false},
		{"every client slow", 1 << 20, 1, false},
		{"small window", 60, 2 << 10, true},
		{"no window", 0, 2 << 10, true},
	} {
		t.Run(test.name, func(t *testing.T) { testOracle(t, test.events, test.pending, test.gaps) })
	}
}

func testOracle(t *testing.T, events int, pending int64, gaps bool) {
	const publishers, each, clients = 4, 500, 24
	h := hub.New("oracle", membroker.Open(), settings(events, pending))
	defer h.Close()

	targets := []broker.Target{{Kind: broker.Broadcast}}
	for i := range 3 {
		n := strconv.Itoa(i)
		targets = append(targets, broker.Target{Kind: broker.User, Name: "u" + n},
			broker.Target{Kind: broker.Topic, Name: "t/" + n})
	}
	var mu sync.Mutex
	var all []published
	var publishing sync.WaitGroup
	for p := range publishers {
		publishing.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(p), 7))
			for i := 0; i < each; {
				var records []broker.Record
				var batch []published
				for range 1 + rng.IntN(5) {
					to := []broker.Target{targets[rng.IntN(len(targets))]}
					if other := targets[rng.IntN(len(targets))]; rng.IntN(3) == 0 && other != to[0] {
						to = append(to, other)
					}
					number := p*each*10 + i
					i++
					records = append(records, broker.Record{Targets: to, Data: []byte(strconv.Itoa(number))})
					batch = append(batch, published{number: number, target: to})
				}
				for i, r := range h.Publish(context.Background(), records) {
					if r.Err != nil {
						t.Error(r.Err)
					}
					batch[i].pos = r.Position
				}
				mu.Lock()
				all = append(all, batch...)
				mu.Unlock()
			}
		})
	}
	finished := make(chan struct{})
	go func() { publishing.Wait(); close(finished) }()

	type log struct {
		start    broker.Position
		user     string
		topics   []string
		received []sse.Message
		gaps     []gap
	}
	logs := make([]*log, clients)
	var reading sync.WaitGroup
	for i := range clients {
		l := &log{user: "u" + strconv.Itoa(i%4)}
		switch i % 4 {
		case 1:
			l.topics = []string{"t/1", "t/2"}
		case 2:
			l.topics = []string{"t/*", "t/0", "**"}
		case 3:
			l.topics = []string{"t/2", "t/*"}
		}
		logs[i] = l
		reading.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 11))
			last := ""
			for ended := false; !ended; {
				r := subscribe(t, h, hub.Subscription{User: l.user, Topics: l.topics, LastEventID: last})
				for rounds := rng.IntN(20); rounds >= 0 || ended; rounds-- {
					select {
					case <-finished:
						ended = true
					default:
					}
					got := r.poll()
					// A client may be cut off anywhere: what comes after the cut never arrived.
					if !ended && rounds == 0 && len(got) > 0 {
						got = got[:rng.IntN(len(got)+1)]
					}
					for _, m := range got {
						switch m.Type {
						case "sse:connected":
							if last == "" {
								l.start, _ = broker.ParsePosition(m.ID)
							}
						case "sse:gap":
							var g gap
							if err := json.Unmarshal([]byte(m.Data), &g); err != nil {
								t.Error(err)
							}
							l.gaps = append(l.gaps, g)
						case "message":
							l.received = append(l.received, m)
						}
						if m.ID != "" {
							last = m.ID
						}
					}
					if ended && len(got) == 0 {
						break
					}
					if rng.IntN(3) == 0 {
						time.Sleep(time.Duration(rng.IntN(300)) * time.Microsecond) // a slow client
					}
				}
				if ended {
					settle(t, h, r, func(m sse.Message) {
						if m.Type == "message" {
							l.received = append(l.received, m)
						} else if m.Type == "sse:gap" {
							var g gap
							_ = json.Unmarshal([]byte(m.Data), &g)
							l.gaps = append(l.gaps, g)
						}
					})
				}
				r.conn.Close(nil)
			}
		})
	}
	reading.Wait()

	slices.SortFunc(all, func(a, b published) int { return a.pos.Compare(b.pos) })
	for i, l := range logs {
		hears := func(p published) bool {
			return slices.ContainsFunc(p.target, func(to broker.Target) bool {
				return to.Kind == broker.Broadcast || to.Kind == broker.User && to.Name == l.user ||
					to.Kind == broker.Topic && slices.ContainsFunc(l.topics, func(s string) bool { return rules.Match(s, to.Name) })
			})
		}
		if !gaps && len(l.gaps) > 0 {
			t.Errorf("client %d: gaps %v", i, l.gaps)
		}
		received := l.received
		for _, p := range all {
			if p.pos.Compare(l.start) <= 0 || !hears(p) {
				continue
			}
			if len(received) > 0 && received[0].Data == strconv.Itoa(p.number) && received[0].ID == p.pos.String() {
				received = received[1:]
				continue
			}
			if !slices.ContainsFunc(l.gaps, func(g gap) bool { return g.covers(p.pos) }) {
				next := "nothing"
				if len(received) > 0 {
					next = fmt.Sprint(received[0])
				}
				t.Fatalf("client %d (%s, %v): event %d at %s is missing, no gap covers it; got %s", i, l.user, l.topics, p.number, p.pos, next)
			}
		}
		if len(received) > 0 {
			t.Errorf("client %d: %d events too many, out of order or not theirs, first %v", i, len(received), received[0])
		}
	}
	if n, total, _, _ := h.Connections(hub.Filter{}, 100); total != 0 {
		t.Errorf("left behind: %v", n)
	}
	if users, _, _, _ := h.Users(t.Context(), "", 10); len(users) != 0 {
		t.Errorf("left behind: %v", users)
	}
	if topics, _, _, _ := h.Topics(t.Context(), "", 10); len(topics) != 0 {
		t.Errorf("left behind: %v", topics)
	}
}

// settle reads until the event that is published last has come, or a gap that covers it.
func settle(t *testing.T, h *hub.Hub, r *reader, visit func(sse.Message)) {
	last := h.Publish(context.Background(), []broker.Record{{
		Targets: []broker.Target{{Kind: broker.Connection, Name: r.conn.ID}}, Type: "last",
	}})[0].Position
	for {
		m := r.next()
		if m.Type != "last" {
			visit(m)
		}
		if p, ok := broker.ParsePosition(m.ID); ok && p.Compare(last) >= 0 {
			return
		}
	}
}

func TestEndOfStream(t *testing.T) {
	h := hub.New("end", membroker.Open(), settings(10, 1<<10))
	r := subscribe(t, h, hub.Subscription{User: "u"})
	r.poll()
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.conn.Next(nil, 1); !errors.Is(err, io.EOF) {
		t.Fatalf("got %v, want EOF", err)
	}
	r.conn.Close(nil)
	if _, err := h.Subscribe(t.Context(), hub.Subscription{}); err == nil || err.Error() != "draining" {
		t.Fatalf("got %v, want draining", err)
	}
}
