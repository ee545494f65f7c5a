package hub

import (
	"context"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// Disconnect ends a connection's stream, on any node. It reports false if there is no such connection. If there may be other
// nodes, that is not known, and it reports true. The error says that the other nodes cannot be reached.
func (h *Hub) Disconnect(ctx context.Context, id string) (bool, error) {
	if h.nodes == nil {
		if err := h.settle(ctx); err != nil { // then it is known what was added
			return false, err
		}
	}
	c := h.find(id)
	if c != nil && !h.additions.has(id) {
		c.shard.mu.Lock()
		defer c.shard.mu.Unlock()
		c.finish(disconnected, 0)
		return true, nil
	}
	// The client may come back with the same id. So the log has to say that additions to it have ended.
	if h.nodes == nil && c == nil && !h.additions.has(id) {
		return false, nil
	}
	return h.nodes != nil || c != nil, h.steer(ctx, broker.Record{Kind: broker.Disconnect, Targets: []broker.Target{{Kind: broker.Connection, Name: id}}})
}

// DisconnectUser ends all of a user's streams, on all nodes. It has its place among the events: streams that are open when it
// comes hear nothing that is published after it.
func (h *Hub) DisconnectUser(ctx context.Context, user string) error {
	return h.steer(ctx, broker.Record{Kind: broker.Disconnect, Targets: []broker.Target{{Kind: broker.User, Name: user}}})
}

// DisconnectTopic ends the streams that hear a topic, on all nodes.
func (h *Hub) DisconnectTopic(ctx context.Context, topic string) error {
	return h.steer(ctx, broker.Record{Kind: broker.Disconnect, Targets: []broker.Target{{Kind: broker.Topic, Name: topic}}})
}

// obeyTime bounds the wait for this node to obey a record.
const obeyTime = time.Second

// steer appends a record, and waits for this node to obey it, so that the next request finds it done.
func (h *Hub) steer(ctx context.Context, r broker.Record) error {
	result := h.append(ctx, []broker.Record{r})[0]
	if result.Err == nil {
		ctx, cancel := context.WithTimeout(ctx, obeyTime)
		defer cancel()
		_ = h.Taken(ctx, result.Position) // it will be obeyed in any case, as it is in the log
	}
	return result.Err
}
