package natsbroker

import (
	"context"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go"

	"github.com/sse-push/caddy-sse-push/broker"
)

// Resolve implements broker.Broker.
func (b *Broker) Resolve(ctx context.Context, p broker.Position) (broker.Standing, error) {
	ctx, cancel := b.within(ctx, 2*callTimeout)
	defer cancel()
	s, err := b.connected(ctx)
	if err != nil {
		return 0, err
	}
	l, info, err := b.look(ctx, s)
	if err != nil {
		return 0, err
	}
	return b.standing(ctx, s, l, info, p)
}

func (b *Broker) standing(ctx context.Context, s *session, l *life, info *streamInfo, p broker.Position) (broker.Standing, error) {
	state := &info.State
	switch {
	case p.Major != 0 || !l.knows(p.Epoch):
		return broker.Unknown, nil
	case p.Epoch != l.epochAt(p.Minor): // from before the stream was put back
		return broker.Lost, nil
	case p.Minor > state.LastSeq:
		return broker.Ahead, nil
	case p.Minor+1 < state.FirstSeq:
		return broker.Trimmed, nil
	}
	if p.Minor >= state.FirstSeq && p.Minor > 0 {
		m, err := b.message(ctx, s, b.names.stream, p.Minor)
		if err != nil {
			return 0, unavailable("reading an event", err)
		}
		if m != nil && checkOf(m.Data) != p.Check {
			return broker.Unknown, nil
		}
	}
	if state.NumDeleted > 0 {
		return b.deletedBehind(ctx, s, p)
	}
	return broker.Exact, nil
}

// deletedBehind looks for messages that were deleted one by one, or that the server itself has lost.
func (b *Broker) deletedBehind(ctx context.Context, s *session, p broker.Position) (broker.Standing, error) {
	ctx, cancel := b.within(ctx, callTimeout)
	defer cancel()
	deleted, err := s.deleted(ctx, b.names.stream)
	if err != nil {
		return 0, unavailable("looking for deleted events", err)
	}
	if slices.ContainsFunc(deleted, func(seq uint64) bool { return seq > p.Minor }) {
		return broker.Lost, nil
	}
	return broker.Exact, nil
}

// Read implements broker.Broker.
func (b *Broker) Read(ctx context.Context, after, upTo broker.Position, limit int) ([]broker.Entry, error) {
	ctx, cancel := b.within(ctx, 2*callTimeout)
	defer cancel()
	s, err := b.connected(ctx)
	if err != nil {
		return nil, err
	}
	l, info, err := b.look(ctx, s)
	if err != nil {
		return nil, err
	}
	for _, p := range []broker.Position{after, upTo} {
		standing, err := b.standing(ctx, s, l, info, p)
		switch {
		case err != nil:
			return nil, err
		case standing == broker.Unknown, standing == broker.Ahead:
			return nil, broker.ErrUnknown
		case standing == broker.Lost && (p == after || after.Minor < p.Minor && p.Epoch != l.epochAt(p.Minor)):
			return nil, broker.ErrLost
		case standing == broker.Trimmed && after.Minor < upTo.Minor:
			return nil, broker.ErrTrimmed
		}
	}
	if after.Minor >= upTo.Minor || limit <= 0 {
		return nil, nil
	}
	return b.page(ctx, s, l, after.Minor, upTo.Minor, limit)
}

// page reads the entries after a number, by a consumer of its own.
func (b *Broker) page(ctx context.Context, s *session, l *life, after, upTo uint64, limit int) ([]broker.Entry, error) {
	ctx, cancel := b.within(ctx, 2*callTimeout)
	defer cancel()
	c, err := b.consume(ctx, s, consumerConfig{OptStartSeq: after + 1})
	if err != nil {
		return nil, unavailable("reading the stream", err)
	}
	defer func() { _ = s.deleteConsumer(ctx, b.names.stream, c.Name) }()
	var entries []broker.Entry
	for after < upTo && len(entries) < limit {
		batch, failed := s.pull(ctx, b.names.stream, c.Name, int(min(upTo-after, uint64(limit-len(entries)), maxBatch)))
		before := after
		for _, m := range batch {
			meta, err := m.Metadata()
			if err != nil {
				return nil, unavailable("reading the stream", err)
			}
			if seq := meta.Sequence.Stream; seq != after+1 {
				if seq > upTo {
					seq = upTo
				}
				return b.broken(ctx, s, seq)
			}
			after++
			from := &message{seq: after, time: meta.Timestamp, subject: m.Subject, id: m.Header.Get(nats.MsgIdHdr), body: m.Data}
			if e, ok := b.entry(from, l.epochAt(after)); ok {
				entries = append(entries, e)
			}
		}
		if failed != nil {
			return nil, unavailable("reading the stream", failed)
		}
		if after == before {
			return b.broken(ctx, s, upTo)
		}
	}
	return entries, nil
}

// broken returns why the entry before seq could not be read.
func (b *Broker) broken(ctx context.Context, s *session, seq uint64) ([]broker.Entry, error) {
	_, info, err := b.look(ctx, s)
	if err != nil {
		return nil, err
	}
	if info.State.FirstSeq >= seq {
		return nil, broker.ErrTrimmed
	}
	return nil, fmt.Errorf("%w: before number %d", broker.ErrLost, seq)
}
