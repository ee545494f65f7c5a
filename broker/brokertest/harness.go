// Package brokertest tests whether a broker keeps the contract of package broker, while its engine fails in every way. A broker
// brings a Harness of a few lines, which opens its log and breaks its engine:
//
//	func TestConformance(t *testing.T) { brokertest.Run(t, brokertest.Harness{ … }) }
//
// The fields of the harness choose the cases: a case that needs what the harness lacks is left out.
//
// A second suite, internal/hubtest, runs hubs with clients on the same harness, and accounts for every event. Go lets only
// packages of this module import it: docs/howto/write-a-broker.md says how a broker of another module runs it.
package brokertest

import (
	"sync"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// Harness is a log under test.
type Harness struct {
	// Open opens another node on the log. If p is not nil, the node connects to its engine through p. The suite closes
	// the node.
	Open func(t testing.TB, p *Proxy) broker.Broker
	// Addr is the engine's address, for Proxies; "" if it is not reached by TCP.
	Addr string
	// Shared: several nodes can have the log open at the same time.
	Shared bool
	// Keeps: entries can be read again, by Read and by a node that is opened later.
	Keeps bool
	// Forgets: an engine that is killed may lose what it acknowledged last. The suite then allows gaps.
	Forgets bool
	// Engine is the process behind the broker; nil if there is none.
	Engine Engine
	// Trim trims the log to about keep entries, as its own retention would; nil if a test cannot do that.
	Trim func(t testing.TB, keep int)
	// Full leaves the log no room for more, until again is called; nil if a test cannot do that.
	Full func(t testing.TB) (again func())
	// Put appends bytes as the stored form of a record, as a program of another version would; nil if no other program
	// writes to the log. Unless the log has an Engine, no node is open meanwhile.
	Put func(t testing.TB, stored []byte)
	// InProcess: the log exists in this process only, so that testing/synctest can move its time.
	InProcess bool
	// Later makes idempotency keys older by d, while no node is open; nil if their time cannot be moved, or if
	// testing/synctest moves it.
	Later func(t testing.TB, d time.Duration)
	// Ahead opens another node whose clock is ahead of the others' by d. If it is nil, the suite pretends that.
	Ahead func(t testing.TB, p *Proxy, d time.Duration) broker.Broker
	// ClockBack sets the engine's clock back by d; nil if its positions do not depend on a clock.
	ClockBack func(t testing.TB, d time.Duration)
	// Size returns how many bytes the log takes of its engine's memory, or of the disk; nil if it is in this process's memory.
	Size func(t testing.TB) int64
	// Crowded: other tests run at the same time, so that cases which count goroutines or memory are left out.
	Crowded bool
	// Fresh makes a harness on a new, empty log. Run calls it for each case.
	Fresh func(t testing.TB) Harness
}

// Engine is the process behind a broker.
type Engine interface {
	// Kill ends the process at once, as SIGKILL does. It stays away until Start.
	Kill(t testing.TB)
	// Start starts it again, with all that its disk holds.
	Start(t testing.TB)
	// Freeze stops it as SIGSTOP does, until Thaw.
	Freeze(t testing.TB)
	Thaw(t testing.TB)
	// Snapshot copies its disk. restore rolls back: it kills the process, puts the disk back and starts it. It may be
	// called again.
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
func fills(h Harness) bool     { return h.Full != nil }
func takesPut(h Harness) bool  { return h.Put != nil }
func ages(h Harness) bool      { return h.Later != nil || h.InProcess }

// node is an open broker. It is closed once: by the case, or at the end of the case.
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

// nodes opens n nodes, or one if the log cannot be shared.
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

// another opens a node beside n, or, if the log cannot be shared, in place of n.
func (h Harness) another(t testing.TB, n *node) *node {
	t.Helper()
	if !h.Shared {
		if err := n.Close(); err != nil {
			t.Fatalf("closing: %v", err)
		}
	}
	return h.open(t, nil)
}
