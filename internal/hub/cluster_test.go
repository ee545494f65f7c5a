package hub_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// engine is a log that several hubs share, with a directory.
type engine struct {
	epoch uint64

	mu      sync.Mutex // guards all below
	entries []broker.Entry
	grown   chan struct{}
	counts  map[string]map[string]int // by node
	leases  map[string]time.Time
	heard   map[string]time.Time // when nodes last reported
}

func newEngine() *engine {
	return &engine{
		epoch: broker.NewEpoch(), grown: make(chan struct{}), counts: map[string]map[string]int{}, leases: map[string]time.Time{}, heard: map[string]time.Time{},
	}
}

// node is a broker on an engine, for one hub.
type node struct {
	*engine
	dead   chan struct{} // closed: it neither reads nor reports any more
	closed chan struct{}
}

func (e *engine) node() *node { return &node{e, make(chan struct{}), make(chan struct{})} }

func (n *node) Append(_ context.Context, records []broker.Record) (results []broker.Result) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range records {
		r.Time = time.Now()
		p := broker.Position{Epoch: n.epoch, Minor: uint64(len(n.entries) + 1)}
		n.entries = append(n.entries, broker.Entry{Position: p, Record: r})
		results = append(results, broker.Result{Position: p})
	}
	close(n.grown)
	n.grown = make(chan struct{})
	return results
}

func (n *node) Tail(ctx context.Context, last int, sink broker.Sink) error {
	n.mu.Lock()
	at := max(0, len(n.entries)-last)
	n.mu.Unlock()
	sink.Begin(broker.Position{Epoch: n.epoch, Minor: uint64(at)})
	for {
		n.mu.Lock()
		batch, grown := append([]broker.Entry(nil), n.entries[at:]...), n.grown
		n.mu.Unlock()
		if at += len(batch); len(batch) > 0 {
			sink.Deliver(batch)
		}
		sink.State(nil)
		select {
		case <-grown:
		case <-n.dead:
			<-ctx.Done()
			return ctx.Err()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (n *node) Read(_ context.Context, after, upTo broker.Position, limit int) ([]broker.Entry, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	entries := n.entries[after.Minor:upTo.Minor]
	return append([]broker.Entry(nil), entries[:min(limit, len(entries))]...), nil
}

func (n *node) Resolve(_ context.Context, p broker.Position) (broker.Standing, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p.Epoch != n.epoch || p.Minor > uint64(len(n.entries)) {
		return broker.Unknown, nil
	}
	return broker.Exact, nil
}

func (n *node) Close() error { return nil }

func (n *node) Report(_ context.Context, name string, lease time.Duration, fresh bool, counts map[string]int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-n.dead:
		return broker.ErrUnavailable
	default:
	}
	if lease == 0 {
		delete(n.leases, name)
		delete(n.counts, name)
		return nil
	}
	if !fresh && !time.Now().Before(n.leases[name]) {
		return broker.ErrForgotten
	}
	n.leases[name], n.heard[name] = time.Now().Add(lease), time.Now()
	if fresh {
		n.counts[name] = map[string]int{}
	}
	for k, v := range counts {
		n.counts[name][k] = v
	}
	return nil
}

// Nodes implements broker.Roster.
func (n *node) Nodes(context.Context, ...string) (nodes []broker.Node, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-n.dead:
		return nil, broker.ErrUnavailable
	default:
	}
	for name, lease := range n.leases {
		o := broker.Node{Name: name, Counts: map[string]int{}, Silent: !time.Now().Before(lease)}
		switch {
		case !o.Silent:
			for k, v := range n.counts[name] {
				if v != 0 {
					o.Counts[k] = v
				}
			}
		case time.Since(n.heard[name]) >= broker.Silence:
			continue
		}
		nodes = append(nodes, o)
	}
	return nodes, nil
}

func (n *node) Counts(_ context.Context, names ...string) (map[string]int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	sum := map[string]int{}
	for name, counts := range n.counts {
		if !time.Now().Before(n.leases[name]) {
			continue
		}
		for k, v := range counts {
			if v > 0 && (len(names) == 0 || strings.Contains("\x00"+strings.Join(names, "\x00")+"\x00", "\x00"+k+"\x00")) {
				sum[k] += v
			}
		}
	}
	return sum, nil
}

// hub opens a hub on the engine.
func (e *engine) hub(t *testing.T, s hub.Settings) (*hub.Hub, *node) {
	n := e.node()
	h := hub.New("test", n, s)
	t.Cleanup(func() { _ = h.Close() })
	if _, err := h.Position(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h, n
}

// hear waits until a hub has read everything that was published.
func (e *engine) hear(t *testing.T, h *hub.Hub) {
	t.Helper()
	e.mu.Lock()
	last := uint64(len(e.entries))
	e.mu.Unlock()
	for {
		p, err := h.Position(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if p.Minor >= last && h.Lag() == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}
