package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// swarm is many clients of one server.
type swarm struct {
	target *target
	driver driver

	clients []*client
	slow    tally // of those that are frozen at times
	all     tally // of all others

	lastEventID string
	first       [maxPublishers]uint32 // the numbers that clients should see first
	smallBuffer int                   // receive buffer in bytes of the next clients, if not 0
	nextSlow    bool                  // the next clients count as slow
	further     bool                  // the next clients share the connections that are there (HTTP/2)
	keepID      bool

	mu       sync.Mutex
	failures int
	failure  error // the first one

	pendingConnects atomic.Int64
	connected       chan struct{} // a hint that pendingConnects is 0
}

// driver moves the bytes of a swarm.
type driver interface {
	// connect brings clients up in its own time, and tells the swarm of each by up or failed.
	connect(clients []*client) error
	// freeze stops reading from clients, thaw goes on.
	freeze(clients []*client) error
	thaw(clients []*client) error
	close()
}

func (t *target) swarm() (*swarm, error) {
	s := &swarm{target: t, connected: make(chan struct{}, 1)}
	var err error
	if t.tls == nil {
		s.driver, err = newLoop(s)
	} else {
		s.driver = newConnDriver(s)
	}
	return s, err
}

func (s *swarm) close() { s.driver.close() }

// connect adds clients, and waits until each has its response's head or has failed.
func (s *swarm) connect(ctx context.Context, n int) error {
	fresh := make([]*client, n)
	for i := range fresh {
		c := &client{user: len(s.clients) + i, tally: &s.all, next: s.first, keepID: s.keepID}
		if s.nextSlow {
			c.tally = &s.slow
		}
		fresh[i] = c
	}
	s.clients = append(s.clients, fresh...)
	s.pendingConnects.Store(int64(n))
	if err := s.driver.connect(fresh); err != nil {
		return err
	}
	for s.pendingConnects.Load() > 0 {
		select {
		case <-s.connected:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d clients were not connected in time", s.pendingConnects.Load(), n)
		}
	}
	return nil
}

// mustConnect is connect where a client that cannot connect spoils the measurement.
func (s *swarm) mustConnect(ctx context.Context, n int) error {
	if err := s.connect(ctx, n); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failures > 0 {
		return fmt.Errorf("%d clients could not connect: %w", s.failures, s.failure)
	}
	return nil
}

// up counts a client that has its response's head.
func (s *swarm) up() {
	if s.pendingConnects.Add(-1) == 0 {
		select {
		case s.connected <- struct{}{}:
		default:
		}
	}
}

// failed counts a client that got none.
func (s *swarm) failed(err error) {
	s.mu.Lock()
	s.failures++
	if s.failure == nil {
		s.failure = err
	}
	s.mu.Unlock()
	s.up()
}

// slowOnes are the clients that may be frozen.
func (s *swarm) slowOnes() (slow []*client) {
	for _, c := range s.clients {
		if c.tally == &s.slow {
			slow = append(slow, c)
		}
	}
	return slow
}

// snapshot returns what all but the slow clients have counted.
func (s *swarm) snapshot() *tally {
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	t := new(tally)
	t.add(&s.all)
	return t
}

// restart begins a new count of delays.
func (s *swarm) restart() {
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	s.all.delays = histogram{}
}

// settled waits until all but the slow clients have had n events in all, or nothing has come for a while.
func (s *swarm) settled(ctx context.Context, n int) error {
	const patience = 5 * time.Second
	return s.quiet(ctx, &s.all, n, patience)
}

func (s *swarm) quiet(ctx context.Context, t *tally, n int, patience time.Duration) error {
	last, changed := -1, time.Now()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		t.mu.Lock()
		had := t.delivered + t.missing + t.disorder
		bytes := t.bytes
		t.mu.Unlock()
		if had >= n {
			return nil
		}
		if bytes != last {
			last, changed = bytes, time.Now()
		}
		if time.Since(changed) > patience {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// lost is how many of the events that each of some clients should have had never came in order.
func lost(clients []*client, each int) (n int) {
	for _, c := range clients {
		c.tally.mu.Lock()
		n += max(each-c.received, 0)
		c.tally.mu.Unlock()
	}
	return n
}
