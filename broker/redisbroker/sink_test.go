package redisbroker

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

// sink keeps what a Tail hands on.
type sink struct {
	stop func()
	held atomic.Bool // Deliver waits

	mu      sync.Mutex // guards all below
	begin   broker.Position
	entries []broker.Entry
	states  []error
	gate    chan struct{}
}

// follow starts a Tail that ends with the test.
func follow(t testing.TB, b *Broker, last int) *sink {
	t.Helper()
	s := &sink{}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		b.Tail(ctx, last, s)
		close(ended)
	}()
	s.stop = func() { cancel(); <-ended }
	t.Cleanup(s.stop)
	return s
}

// started waits until the Tail has caught up.
func started(t testing.TB, b *Broker, last int) *sink {
	t.Helper()
	s := follow(t, b, last)
	brokertest.Eventually(t, "the tail has caught up", s.healthy)
	return s
}

func (s *sink) Begin(p broker.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begin = p
}

func (s *sink) State(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.states = append(s.states, err)
}

func (s *sink) Deliver(batch []broker.Entry) {
	s.mu.Lock()
	gate := s.gate
	s.mu.Unlock()
	if gate != nil {
		s.held.Store(true)
		<-gate
		s.held.Store(false)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries = append(s.entries, batch...)
}

// hold lets Deliver wait until what it returns is called.
func (s *sink) hold() (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gate := make(chan struct{})
	s.gate = gate
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.gate = nil
		close(gate)
	})
}

// state returns what State was called with last; false: it was not called.
func (s *sink) state() (error, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.states) == 0 {
		return nil, false
	}
	return s.states[len(s.states)-1], true
}

func (s *sink) healthy() bool {
	err, said := s.state()
	return said && err == nil
}

func (s *sink) all() []broker.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.entries)
}

// texts shows the entries: their data, and "hole".
func (s *sink) texts() string {
	var texts []string
	for _, e := range s.all() {
		if e.Record.Kind == broker.Hole {
			texts = append(texts, "hole")
		} else {
			texts = append(texts, string(e.Record.Data))
		}
	}
	return strings.Join(texts, " ")
}

// comes waits for exactly these entries.
func (s *sink) comes(t testing.TB, want string) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("have: %s", s.texts())
		}
	}()
	brokertest.Eventually(t, "entries: "+want, func() bool { return s.texts() == want })
}

// logs keeps a logger's output.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// into sends a node's log to l.
func (l *logs) into(o *Options) { o.Logger = slog.New(slog.NewTextHandler(l, nil)) }
