package hub

import (
	"context"

	"github.com/sse-push/caddy-sse-push/broker"
)

// Disconnect ends a connection's stream, on whichever node it is. It reports false where there is none; of other nodes
// that is not known, so that it reports true where there are any. The error says that they cannot be reached.
func (h *Hub) Disconnect(ctx context.Context, id string) (bool, error) {
	if c := h.connection(id); c != nil {
		c.End(nil)
		return true, nil
	}
	if h.nodes == nil {
		return false, nil
	}
	return true, h.end(ctx, broker.Target{Kind: broker.Connection, Name: id})
}

// DisconnectUser ends all of a user's streams, on all nodes. It keeps its place among the events: who is connected
// when it comes hears nothing that is published after it.
func (h *Hub) DisconnectUser(ctx context.Context, user string) error {
	return h.end(ctx, broker.Target{Kind: broker.User, Name: user})
}

func (h *Hub) end(ctx context.Context, t broker.Target) error {
	return h.append(ctx, []broker.Record{{Kind: broker.Disconnect, Targets: []broker.Target{t}}})[0].Err
}
