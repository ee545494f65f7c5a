package pool

import (
	"context"
	"sync/atomic"

	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// openStreams counts the streams of all hubs, since descriptors are a limit of the process.
var openStreams atomic.Int64

// exceeds reports whether there would be too many streams. A hub whose config limits its connections is not bounded here.
func (p *Hub) exceeds(streams int64) bool {
	limits := p.config.Load().settings.Limits
	return (limits == nil || limits.Connections == 0) && streams > int64(mostStreams())
}

// hasRoom returns a refusal if there is no place for another client of a network.
func (p *Hub) hasRoom(network string) error {
	if p.exceeds(openStreams.Load() + 1) {
		return &hub.Refusal{Reason: "connections"}
	}
	return p.HasRoom(network)
}

// subscribe subscribes a client, and counts its stream until it ends.
func (p *Hub) subscribe(ctx context.Context, sub hub.Subscription) (*hub.Conn, error) {
	if p.exceeds(openStreams.Add(1)) {
		openStreams.Add(-1)
		return nil, &hub.Refusal{Reason: "connections"}
	}
	conn, err := p.Subscribe(ctx, sub)
	if err != nil {
		openStreams.Add(-1)
	}
	return conn, err
}
