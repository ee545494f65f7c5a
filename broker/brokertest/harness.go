// Package brokertest is the suite that holds a broker to the contract of package broker, and breaks its engine meanwhile. A
// broker brings a Harness of a few lines, which says how its log is opened and what its engine can be made to suffer:
//
//	func TestConformance(t *testing.T) { brokertest.Run(t, brokertest.Harness{ … }) }
//
// The fields of the harness choose the cases: a case that needs what the harness lacks is left out.
//
// A second suite, internal/hubtest, runs hubs with clients on the same harness, and accounts for every event. Go lets only
// packages of this module import it: docs/brokers.md says how a broker of another module runs it.
package brokertest

import (
	"sync"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// Harness is a log under test.
type Harness struct {
	// Open opens another node on the log; through p where p is not nil, and the engine is reached by TCP. The suite
	// closes it.
	Open func(t testing.TB, p *Proxy) broker.Broker
	// Addr is where the engine listens, for Proxies to it; "" where it is not reached by TCP.
	Addr string
	// Shared: several nodes may have the log open at the same time.
	Shared bool
	// Keeps: entries can be read again, by Read and by a node that is opened later.
	Keeps bool
	// Forgets: an engine that is killed may lose what it acknowledged last. The suite then asks for a gap.
	Forgets bool
	// Engine is the process behind the broker; nil where there is none.
	Engine Engine
	// Trim trims the log to about keep entries, as its own retention would; nil where it cannot be asked to.
	Trim func(t testing.TB, keep int)
	// Full leaves the log no room for anything more, until again is called; nil where that cannot be brought about.
	Full func(t testing.TB) (again func())
	// Put appends bytes as the stored form of a record, as a program of another version would; nil where nobody else
	// writes to the log. No node is open meanwhile, unless an Engine stands behind the log.
	Put func(t testing.TB, stored []byte)
	// InProcess: the log is nowhere but in this process, so that testing/synctest can move its time.
	InProcess bool
	// Later makes idempotency keys older by d, while no node is open; nil where their time cannot be moved, or by
	// testing/synctest.
	Later func(t testing.TB, d time.Duration)
	// Ahead opens another node, whose clock is ahead of the others' by d; nil where the suite is to pretend that.
	Ahead func(t testing.TB, p *Proxy, d time.Duration) broker.Broker
	// ClockBack has the engine's clock go back by d; nil where its positions do not hang on a clock.
	ClockBack func(t testing.TB, d time.Duration)
	// Size is how many bytes the log takes of its engine's memory, or of the disk; nil where that is this process's.
	Size func(t testing.TB) int64
	// Crowded: other tests run at the same time, so that cases which count goroutines or memory are left out.
	Crowded bool
	// Fresh makes a harness on a new, empty log. Run calls it for each case.
	Fresh func(t testing.TB) Harness
}

// Engine is the process behind a broker.
type Engine interface {
	// Kill ends it at once, as SIGKILL does. It stays away until Start.
	Kill(t testing.TB)
	// Start brings it back with all that its disk has.
	Start(t testing.TB)
	// Freeze stops it as SIGSTOP does, until Thaw.
	Freeze(t testing.TB)
	Thaw(t testing.TB)
	// Snapshot copies its disk. restore kills it, puts the disk back and starts it: a rollback. It may be called again.
	Snapshot(t testing.TB) (restore func())
	// Empty kills it, empties its disk and starts it.
	Empty(t testing.TB)
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	t.Run("contract", func(t *testing.T) { RunCases(t, h, contract) })
}

func keeps(h Harness) bool     { return h.Keeps }
func trims(h Harness) bool     { return h.Trim != nil && h.Keeps }
func shared(h Harness) bool    { return h.Shared }
func hasEngine(h Harness) bool { return h.Engine != nil }
func proxied(h Harness) bool   { return h.Addr != "" }
func fills(h Harness) bool     { return h.Full != nil }
func takesPut(h Harness) bool  { return h.Put != nil }
func ages(h Harness) bool      { return h.Later != nil || h.InProcess }

// node is an open broker, which is closed once: by the case, or at its end.
type node struct {
	broker.Broker
	close func() error
}

func (n *node) Close() error { return n.close() }

// open opens a node, and closes it at the end.
func (h Harness) open(t testing.TB, p *Proxy) *node {
	t.Helper()
	b := h.Open(t, p)
	n := &node{Broker: b, close: sync.OnceValue(b.Close)}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return n
}

// nodes opens several nodes where the log can be shared, otherwise one.
func (h Harness) nodes(t testing.TB, n int) (nodes []*node) {
	t.Helper()
	if !h.Shared {
		n = 1
	}
	for range n {
		nodes = append(nodes, h.open(t, nil))
	}
	return nodes
}

// another returns a node that has not been open before: beside n, or, where the log cannot be shared, in its place.
func (h Harness) another(t testing.TB, n *node) *node {
	t.Helper()
	if !h.Shared {
		if err := n.Close(); err != nil {
			t.Fatalf("closing: %v", err)
		}
	}
	return h.open(t, nil)
}
