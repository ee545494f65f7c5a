package ssepush

import (
	"context"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/problem"
)

// openStreams counts the streams of all hubs: it is the process that runs out of descriptors.
var openStreams atomic.Int64

// mostStreams is how many of them there may be unless a hub's config says otherwise. The rest of the descriptors is for
// the internal route, and for all else that Caddy serves.
func mostStreams() int { return descriptors() / 5 * 4 }

// exceeds reports whether there would be too many streams. Hubs whose number of connections the config sets are not bounded.
func (s *HubSettings) exceeds(streams int64) bool {
	return (s.Limits == nil || s.Limits.Connections == 0) && streams > int64(mostStreams())
}

// reserve counts a stream in, or refuses it.
func (s *HubSettings) reserve() error {
	if s.exceeds(openStreams.Add(1)) {
		openStreams.Add(-1)
		return &hub.Refusal{Reason: "connections"}
	}
	return nil
}

// subscribe is Subscribe for a stream that is counted until it ends.
func (p *pooledHub) subscribe(ctx context.Context, sub hub.Subscription, s *HubSettings) (*hub.Conn, error) {
	if err := s.reserve(); err != nil {
		return nil, err
	}
	conn, err := p.Subscribe(ctx, sub)
	if err != nil {
		openStreams.Add(-1)
	}
	return conn, err
}

// scarce is the complaint that descriptors run out.
var scarce problem.Complaints

// warnScarce says, but not again and again, that streams get a goroutine each that should cost none.
func (s *streamRoute) warnScarce(err error) {
	scarce.Log(s.log, zap.WarnLevel, "connections cannot be taken over and cost more memory than they should; "+
		"limit them, or let the process open more files", zap.Error(err))
}
