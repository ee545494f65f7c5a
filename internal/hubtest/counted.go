package hubtest

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// counted counts the reads of a broker, and can make its Tail lag.
type counted struct {
	broker.Broker
	lag time.Duration

	reads, resolves atomic.Int64 // calls
}

func (b *counted) Read(ctx context.Context, after, upTo broker.Position, limit int) ([]broker.Entry, error) {
	b.reads.Add(1)
	return b.Broker.Read(ctx, after, upTo, limit)
}

func (b *counted) Resolve(ctx context.Context, p broker.Position) (broker.Standing, error) {
	b.resolves.Add(1)
	return b.Broker.Resolve(ctx, p)
}

func (b *counted) Tail(ctx context.Context, last int, sink broker.Sink) error {
	return b.Broker.Tail(ctx, last, &lagging{sink, ctx, b.lag})
}

// lagging delays deliveries.
type lagging struct {
	broker.Sink
	ctx context.Context
	lag time.Duration
}

func (s *lagging) Deliver(batch []broker.Entry) {
	if s.lag > 0 {
		pause(s.ctx, s.lag)
	}
	s.Sink.Deliver(batch)
}
