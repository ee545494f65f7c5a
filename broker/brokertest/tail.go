package brokertest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// tail is a sink that keeps what one Tail hands on.
type tail struct {
	stop func() // ends Tail, and waits

	mu      sync.Mutex // guards all below
	begun   int
	begin   broker.Position
	entries []broker.Entry
	history int // entries before the first State(nil)
	ready   bool
	state   error
	bad     int           // how often State was called with an error
	gate    chan struct{} // Begin and Deliver wait until it is closed; nil: they do not wait

	inside  atomic.Int32 // calls at the same moment
	overlap atomic.Bool
	empty   atomic.Bool // Deliver without entries, or before Begin
}

// follow starts a Tail, which ends with the test.
func follow(t testing.TB, r Reporter, n *node, last int) *tail {
	t.Helper()
	return (&tail{}).follow(t, r, n, last)
}

func (s *tail) follow(t testing.TB, r Reporter, n *node, last int) *tail {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Tail(ctx, last, s) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		s.release()
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) && !errors.Is(err, broker.ErrClosed) {
				r.Errorf("Tail ended with %v", err)
			}
		case <-time.After(limit):
			r.Errorf("Tail does not end when its context does")
		}
		if s.overlap.Load() {
			r.Errorf("the sink's methods were called at the same time")
		}
		if s.empty.Load() {
			r.Errorf("Deliver was called without entries, or before Begin")
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.begun != 1 {
			r.Errorf("Begin was called %d times", s.begun)
		}
	})
	t.Cleanup(s.stop)
	return s
}

// enter notes a call and locks mu.
func (s *tail) enter() {
	if s.inside.Add(1) > 1 {
		s.overlap.Store(true)
	}
	s.mu.Lock()
}

func (s *tail) leave() {
	s.mu.Unlock()
	s.inside.Add(-1)
}

func (s *tail) Begin(p broker.Position) {
	s.enter()
	defer s.leave()
	s.begun++
	s.begin = p
	s.wait()
}

// wait waits until the gate is open. The caller holds mu.
func (s *tail) wait() {
	if gate := s.gate; gate != nil {
		s.mu.Unlock()
		<-gate
		s.mu.Lock()
	}
}

func (s *tail) State(err error) {
	s.enter()
	defer s.leave()
	if s.state = err; err != nil {
		s.bad++
	} else if !s.ready {
		s.ready, s.history = true, len(s.entries)
	}
}

func (s *tail) Deliver(batch []broker.Entry) {
	s.enter()
	s.wait()
	defer s.leave()
	if len(batch) == 0 || s.begun == 0 {
		s.empty.Store(true)
	}
	for _, e := range batch {
		e.Record.Data = bytes.Clone(e.Record.Data)
		s.entries = append(s.entries, e)
	}
}

// hold makes Begin and Deliver wait until release.
func (s *tail) hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gate = make(chan struct{})
}

func (s *tail) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gate != nil {
		close(s.gate)
		s.gate = nil
	}
}

// healthy reports whether Tail has caught up with its engine.
func (s *tail) healthy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ready && s.state == nil
}

func (s *tail) unhealthy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state != nil
}

// all returns the entries so far.
func (s *tail) all() []broker.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.entries[:len(s.entries):len(s.entries)]
}

// count returns how many entries have come, apart from holes.
func (s *tail) count() (n int) {
	for _, e := range s.all() {
		if e.Record.Kind != broker.Hole {
			n++
		}
	}
	return n
}

// started follows a node, and waits until its tail is up to date.
func started(t testing.TB, r Reporter, n *node, last int) *tail {
	t.Helper()
	s := follow(t, r, n, last)
	Eventually(t, "Tail is up to date", s.healthy)
	return s
}

// event returns a record for a topic.
func event(data string) broker.Record {
	return broker.Record{Targets: []broker.Target{{Kind: broker.Topic, Name: "t"}}, Data: []byte(data)}
}

// keyed returns a record with an idempotency key.
func keyed(key, data string) broker.Record {
	r := event(data)
	r.Key = key
	sum := sha256.Sum256(r.Data)
	copy(r.Digest[:], sum[:])
	return r
}

// patience is how long an Append may take while the engine is well.
const patience = 30 * time.Second

// try appends, and gives up after a time.
func try(b broker.Broker, wait time.Duration, records ...broker.Record) []broker.Result {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	return b.Append(ctx, records)
}

// store appends, and fails the test if an append fails.
func store(t testing.TB, b broker.Broker, records ...broker.Record) []broker.Position {
	t.Helper()
	want := len(records)
	positions := make([]broker.Position, want)
	results := try(b, patience, records...)
	if len(results) != want {
		t.Fatalf("%d results for %d records", len(results), want)
	}
	for i, res := range results {
		if res.Err != nil {
			t.Fatalf("appending: %v", res.Err)
		}
		positions[i] = res.Position
	}
	return positions
}
