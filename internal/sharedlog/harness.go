package sharedlog

import (
	"errors"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

// Harness returns the engine as the suites take it.
func (e *Engine) Harness(testing.TB) brokertest.Harness {
	open := func(ahead time.Duration) broker.Broker {
		return &node{engine: e, closed: make(chan struct{}), ahead: ahead}
	}
	return brokertest.Harness{
		Open: func(testing.TB, *brokertest.Proxy) broker.Broker { return open(0) },
		Ahead: func(_ testing.TB, _ *brokertest.Proxy, d time.Duration) broker.Broker {
			return open(d)
		},
		Shared: true, Keeps: true, Engine: e, InProcess: true,
		Trim: func(_ testing.TB, keep int) { e.trim(keep) },
		Full: func(testing.TB) func() {
			e.with(func() { e.full = true })
			return func() { e.with(func() { e.full = false }) }
		},
		Put:   e.take,
		Fresh: func(t testing.TB) brokertest.Harness { return New(e.fault).Harness(t) },
	}
}

// take stores what another program has written.
func (e *Engine) take(_ testing.TB, stored []byte) {
	r, err := broker.Decode(stored)
	switch {
	case errors.Is(err, broker.ErrNewer) && e.fault.Skips:
		return
	case err != nil:
		r = broker.Record{Kind: broker.Hole}
	}
	e.with(func() {
		e.put(r, time.Now())
		e.disk.entries[len(e.disk.entries)-1].Err = err
	})
}
