package pool

import (
	"context"
	"sync/atomic"

	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// openStreams counts the streams of all hubs, since descriptors are a limit of the process.
var openStreams atomic.Int64

// mostStreams returns how many streams there may be in all, for hubs whose config does not limit connections. The rest of the
// descriptors is for the internal route, and for all else that Caddy serves.
func mostStreams() int { return descriptors() / 5 * 4 }

// lastMost is what mostStreams last returned. The system is asked again only when that many are reached, instead of for each client.
var lastMost atomic.Int64

// exceeds reports whether streams are too many for the process. A hub whose config limits its connections is not bounded here.
func (p *Hub) exceeds(streams int64) bool {
	if limits := p.config.Load().settings.Limits; limits != nil && limits.Connections != 0 || streams <= lastMost.Load() {
		return false
	}
	most := int64(mostStreams())
	lastMost.Store(most)
	return streams > most
}

// checkRoom returns a refusal if there is no room for another client of a network.
func (p *Hub) checkRoom(network string) error {
	if p.exceeds(openStreams.Load() + 1) {
		return &hub.Refusal{Reason: "connections"}
	}
	return p.HasRoom(network)
}

// subscribe subscribes a client to the hub or to a companion of it, and counts its stream until it ends.
func (p *Hub) subscribe(ctx context.Context, to *hub.Hub, sub hub.Subscription) (*hub.Conn, error) {
	if p.exceeds(openStreams.Add(1)) {
		openStreams.Add(-1)
		return nil, &hub.Refusal{Reason: "connections"}
	}
	conn, err := to.Subscribe(ctx, sub)
	if err != nil {
		openStreams.Add(-1)
	}
	return conn, err
}
