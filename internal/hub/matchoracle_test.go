package hub_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/membroker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

// between is a pattern of topics by how they begin and end.
type between struct{ prefix, suffix string }

func (p *between) Match(topic string) bool {
	return strings.HasPrefix(topic, p.prefix) && strings.HasSuffix(topic, p.suffix)
}
func (p *between) Prefix() string   { return p.prefix }
func (p *between) Space() hub.Space { return asIs{} }
func (p *between) Text() string     { return p.prefix + "…" + p.suffix }
func (p *between) Effort() int      { return 1 }

type asIs struct{}

func (asIs) Spell(topic string) string { return topic }

// grants is a list of granted topics.
type grants []string

func (g grants) Grants(topic string) bool { return slices.Contains(g, topic) }
func (g grants) Effort() int              { return len(g) }

// matchTopics are what events of the oracle are published to: names that are patterns elsewhere, and some with many segments.
var matchTopics = []string{"https://x/a", "https://x/a/*", "https://x/b", "t/0", "t/1", "**", strings.Repeat("/", 400) + "z", strings.Repeat("s", 1024)}

// matchClient is a client of the oracle that has matchers.
type matchClient struct {
	hub.Matchers
	start    broker.Position // everything up to here came before it
	received []sse.Message
	gaps     []gap
	last     string
}

// hears is what Matchers promises, in the plainest way.
func (c *matchClient) hears(r *broker.Record) bool {
	var heard, granted bool
	for _, t := range r.Targets {
		if t.Kind != broker.Topic {
			continue
		}
		heard = heard || slices.Contains(c.Names, t.Name) || slices.ContainsFunc(c.Patterns, func(p hub.Pattern) bool { return p.Match(t.Name) })
		granted = granted || c.Granted != nil && c.Granted.Grants(t.Name)
	}
	return heard && (r.Public || granted)
}

// take records what the client got, and the id that it will come back with.
func (c *matchClient) take(t *testing.T, told []sse.Message) {
	for _, m := range told {
		switch m.Type {
		case "sse:position":
			if c.last == "" {
				c.start = matchPosition(m.ID)
			}
		case "sse:gap":
			var g gap
			if err := json.Unmarshal([]byte(m.Data), &g); err != nil || g.To != m.ID {
				t.Errorf("gap %q: %v", m, err)
			}
			c.gaps = append(c.gaps, g)
		default:
			c.received = append(c.received, m)
		}
		if m.ID != "" {
			c.last = m.ID
		}
	}
}

// matchPosition returns the position of an id that begins with #; zero for another.
func matchPosition(id string) (p broker.Position) {
	if text, ok := strings.CutPrefix(id, "#"); ok {
		p, _ = broker.ParsePosition(text)
	}
	return p
}

// TestMatchOracle is TestOracle for clients with matchers: names, patterns and grants, public and private events of several topics, ids
// of publishers and none, on one node and on two.
func TestMatchOracle(t *testing.T) {
	for _, test := range []struct {
		name    string
		events  int
		pending int64
		nodes   int // 0: on the memory broker
		gaps    bool
	}{
		{"all in the window", 1 << 20, 64 << 10, 0, false},
		{"every client slow", 1 << 20, 1, 0, false},
		{"small window", 60, 2 << 10, 0, true},
		{"no window", 0, 2 << 10, 0, true},
		{"two nodes", 1 << 20, 2 << 10, 2, false},
		{"two nodes and an archive", 60, 2 << 10, 2, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var hubs []*hub.Hub
			shared := newEngine()
			for range max(test.nodes, 1) {
				var b broker.Broker = membroker.Open()
				if test.nodes > 0 {
					b = shared.node()
				}
				h := hub.New("match", b, settings(test.events, test.pending))
				defer h.Close()
				hubs = append(hubs, h)
			}
			testMatchOracle(t, hubs, test.gaps)
		})
	}
}

func testMatchOracle(t *testing.T, hubs []*hub.Hub, gaps bool) {
	const publishers, each, clients = 3, 300, 24
	var mu sync.Mutex
	var all []broker.Entry
	var publishing, reading sync.WaitGroup
	for p := range publishers {
		publishing.Go(func() {
			entries := publishMatched(t, hubs[p%len(hubs)], rand.New(rand.NewPCG(uint64(p), 7)), p*each, each)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, entries...)
		})
	}
	finished := make(chan struct{})
	go func() { publishing.Wait(); close(finished) }()
	patterns := []hub.Pattern{&between{"https://x/", ""}, &between{"https://", "b"}, &between{"t/", "1"}, &between{"", ""}, &between{"/", "z"}}
	rng := rand.New(rand.NewPCG(3, 4))
	list := make([]*matchClient, clients)
	for i := range list {
		c := &matchClient{}
		c.Names = append(c.Names, "end")
		for range rng.IntN(4) {
			c.Names = append(c.Names, matchTopics[rng.IntN(len(matchTopics))])
		}
		for range rng.IntN(3) {
			c.Patterns = append(c.Patterns, patterns[rng.IntN(len(patterns))])
		}
		if rng.IntN(3) > 0 {
			c.Granted = grants{matchTopics[rng.IntN(len(matchTopics))], matchTopics[rng.IntN(len(matchTopics))]}
		}
		list[i] = c
		reading.Go(func() { c.read(t, hubs, rand.New(rand.NewPCG(uint64(i), 11)), finished) })
	}
	reading.Wait()
	slices.SortFunc(all, func(a, b broker.Entry) int { return a.Position.Compare(b.Position) })
	for i, c := range list {
		if !gaps && len(c.gaps) > 0 {
			t.Errorf("client %d: gaps %v", i, c.gaps)
		}
		c.check(t, i, all)
	}
	for _, h := range hubs {
		if n := h.Left(); n != 0 {
			t.Errorf("%d index entries are left", n)
		}
		if n := h.Stats().Pending; n != 0 {
			t.Errorf("%d bytes are said to wait", n)
		}
	}
}

// publishMatched publishes events with the numbers from first on.
func publishMatched(t *testing.T, h *hub.Hub, rng *rand.Rand, first, n int) (all []broker.Entry) {
	for i := first; i < first+n; {
		var records []broker.Record
		for range min(1+rng.IntN(5), first+n-i) {
			number := strconv.Itoa(i)
			i++
			r := broker.Record{Data: []byte(number), Public: rng.IntN(2) == 0}
			for range 1 + rng.IntN(3) {
				r.Targets = append(r.Targets, broker.Target{Kind: broker.Topic, Name: matchTopics[rng.IntN(len(matchTopics))]})
			}
			if rng.IntN(2) == 0 {
				r.ID = "urn:~:" + number
			}
			if rng.IntN(5) == 0 {
				r.Targets = append(r.Targets, broker.Target{Kind: broker.Broadcast})
			}
			if rng.IntN(5) == 0 {
				r.Targets = []broker.Target{{Kind: broker.User, Name: "u"}}
			}
			if list, _, _, _ := h.Connections(hub.Filter{}, 20); len(list) > 0 && rng.IntN(5) == 0 {
				r.Targets = append(r.Targets, broker.Target{Kind: broker.Connection, Name: list[rng.IntN(len(list))].ID})
			}
			records = append(records, r)
		}
		for k, result := range h.Publish(context.Background(), slices.Clone(records)) {
			if result.Err != nil {
				t.Error(result.Err)
			}
			all = append(all, broker.Entry{Position: result.Position, Record: records[k]})
		}
	}
	return all
}

// read connects to one node after the other, and is cut off again and again, until all was published.
func (c *matchClient) read(t *testing.T, hubs []*hub.Hub, rng *rand.Rand, finished chan struct{}) {
	for ended := false; !ended; {
		h := hubs[rng.IntN(len(hubs))]
		m := c.Matchers
		r := subscribe(t, h, hub.Subscription{Matchers: &m, LastEventID: c.last})
		for rounds := rng.IntN(20); rounds >= 0; rounds-- {
			select {
			case <-finished:
				ended = true
			default:
			}
			got := r.poll()
			if rounds == 0 && len(got) > 0 && !ended { // a client may be cut off anywhere: what comes after the cut never arrived
				got = got[:rng.IntN(len(got)+1)]
			}
			c.take(t, got)
			if rng.IntN(3) == 0 {
				time.Sleep(time.Duration(rng.IntN(300)) * time.Microsecond) // a slow client
			}
		}
		if ended {
			end := broker.Record{Targets: []broker.Target{{Kind: broker.Topic, Name: "end"}}, Public: true, Data: []byte(r.conn.ID)}
			last := h.Publish(context.Background(), []broker.Record{end})[0].Position
			for over := false; !over; {
				m := r.next()
				over = m.Data == r.conn.ID
				if p := matchPosition(m.ID); !p.IsZero() && p.Compare(last) >= 0 {
					over = true
				}
				if n := len(m.Data); n > 3 && m.Type == "message" { // the end of another client
					continue
				}
				c.take(t, []sse.Message{m})
			}
		}
		r.conn.Close(nil)
	}
}

// check compares what the client got with what it should have got.
func (c *matchClient) check(t *testing.T, i int, all []broker.Entry) {
	t.Helper()
	received := slices.DeleteFunc(c.received, func(m sse.Message) bool { return len(m.Data) > 3 })
	for k := range all {
		e := &all[k]
		if e.Position.Compare(c.start) <= 0 || !c.hears(&e.Record) {
			continue
		}
		want := e.Record.ID
		if want == "" {
			want = "#" + e.Position.String()
		}
		if len(received) > 0 && received[0].Data == string(e.Record.Data) && received[0].ID == want {
			received = received[1:]
			continue
		}
		if !slices.ContainsFunc(c.gaps, func(g gap) bool { return matchPosition(g.To).Compare(e.Position) >= 0 }) {
			next := "nothing"
			if len(received) > 0 {
				next = fmt.Sprint(received[0])
			}
			t.Fatalf("client %d (%v): event %s at %s is missing, no gap covers it; got %s", i, c.Matchers, e.Record.Data, e.Position, next)
		}
	}
	if len(received) > 0 {
		t.Errorf("client %d (%v): %d events too many, out of order or not theirs, first %v", i, c.Matchers, len(received), received[0])
	}
}
