package hubtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// settings returns the settings of a hub whose window holds a number of events.
func settings(window int) hub.Settings {
	return hub.Settings{
		History: hub.History{Events: window, Age: time.Hour, Bytes: 256 << 20},
		Limits:  hub.Limits{Pending: 64 << 10},
	}
}

// start starts a hub, and waits until it is ready.
func start(t testing.TB, b broker.Broker, name string, s hub.Settings) *hub.Hub {
	t.Helper()
	h := hub.New(name, b, s)
	brokertest.Eventually(t, "the hub is ready", func() bool { return well(h) })
	return h
}

// well reports whether a hub can read from its broker. It may have met a record that is too new for it.
func well(h *hub.Hub) bool {
	err := h.Health()
	return err == nil || errors.Is(err, broker.ErrNewer)
}

// openHub starts a hub on another node of the log, and closes it at the end of the test.
func openHub(t testing.TB, h brokertest.Harness, name string, s hub.Settings) *hub.Hub {
	t.Helper()
	one := start(t, h.Open(t, nil), name, s)
	t.Cleanup(func() {
		if err := one.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return one
}

// openHubs starts n hubs on the log, which use the log's directory as separate processes would.
func openHubs(t testing.TB, h brokertest.Harness, n, window int) (hubs []*hub.Hub) {
	t.Helper()
	for i := range n {
		hubs = append(hubs, openHub(t, h, fmt.Sprint("node ", i), settings(window)))
	}
	return hubs
}

// openLog opens a node without a hub, and closes it at the end of the test.
func openLog(t testing.TB, h brokertest.Harness) broker.Broker {
	t.Helper()
	b := h.Open(t, nil)
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return b
}

// hasRoster reports whether the log's directory tells nodes apart.
func hasRoster(t testing.TB, h brokertest.Harness) bool {
	t.Helper()
	_, ok := openLog(t, h).(broker.Roster)
	return ok
}

// recording is a sink that keeps what a log holds from now on.
type recording struct {
	mu    sync.Mutex // guards all below
	all   []broker.Entry
	ready bool
}

// record follows a log until the end of the test.
func record(t testing.TB, b broker.Broker) *recording {
	t.Helper()
	s := &recording{}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = b.Tail(ctx, 0, s) }()
	t.Cleanup(func() { cancel(); <-ended })
	brokertest.Eventually(t, "Tail is up to date", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.ready
	})
	return s
}

func (s *recording) Begin(broker.Position) {}

func (s *recording) State(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = s.ready || err == nil
}

func (s *recording) Deliver(batch []broker.Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range batch {
		e.Record.Data = slices.Clone(e.Record.Data)
		s.all = append(s.all, e)
	}
}

// entries returns what has come so far.
func (s *recording) entries() []broker.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[:len(s.all):len(s.all)]
}
