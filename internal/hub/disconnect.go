package hub

import (
	"context"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// Disconnect ends a connection's stream, on whichever node it is. It reports false where there is none; of other nodes
// that is not known, so that it reports true where there are any. The error says that they cannot be reached.
func (h *Hub) Disconnect(ctx context.Context, id string) (bool, error) {
	if h.nodes == nil {
		if err := h.settle(ctx); err != nil { // what was added is known then
			return false, err
		}
	}
	c := h.connection(id)
	if c != nil && !h.additions.has(id) {
		c.shard.mu.Lock()
		defer c.shard.mu.Unlock()
		c.finish(disconnected)
		return true, nil
	}
	// If it comes back with the same id, the log has to say that what was added to it has ended.
	if h.nodes == nil && c == nil && !h.additions.has(id) {
		return false, nil
	}
	return h.nodes != nil || c != nil, h.steer(ctx, broker.Record{Kind: broker.Disconnect, Targets: []broker.Target{{Kind: broker.Connection, Name: id}}})
}

// DisconnectUser ends all of a user's streams, on all nodes. It keeps its place among the events: who is connected
// when it comes hears nothing that is published after it.
func (h *Hub) DisconnectUser(ctx context.Context, user string) error {
	return h.steer(ctx, broker.Record{Kind: broker.Disconnect, Targets: []broker.Target{{Kind: broker.User, Name: user}}})
}

// Deny is DisconnectUser, and lets the user in no more for a time, by the clock of who stores it; 0 lets him in again. A
// node that starts later knows of it as long as its window reaches back.
func (h *Hub) Deny(ctx context.Context, user string, d time.Duration) error {
	return h.steer(ctx, broker.Record{Kind: broker.Deny, Targets: []broker.Target{{Kind: broker.User, Name: user}}, TTL: d})
}

// DisconnectTopic ends the streams of all who hear a topic, on all nodes.
func (h *Hub) DisconnectTopic(ctx context.Context, topic string) error {
	return h.steer(ctx, broker.Record{Kind: broker.Disconnect, Targets: []broker.Target{{Kind: broker.Topic, Name: topic}}})
}

// Join subscribes a connection, or those that a user has now, to topics, on whichever node. They begin at this place of the
// log. It reports false as Disconnect does.
func (h *Hub) Join(ctx context.Context, t broker.Target, topics []string) (bool, error) {
	return h.turn(ctx, broker.Join, t, topics)
}

// Leave unsubscribes a connection, or those that a user has now, from topics, and from whatever pattern lets it hear one of
// them. Nothing that is published after it is heard by them. It reports false as Disconnect does.
func (h *Hub) Leave(ctx context.Context, t broker.Target, topics []string) (bool, error) {
	return h.turn(ctx, broker.Leave, t, topics)
}

func (h *Hub) turn(ctx context.Context, kind broker.Kind, t broker.Target, topics []string) (bool, error) {
	if h.nodes == nil {
		if err := h.settle(ctx); err != nil {
			return false, err
		}
	}
	if t.Kind == broker.Connection && h.nodes == nil && h.connection(t.Name) == nil && !h.additions.has(t.Name) {
		return false, nil
	}
	return true, h.steer(ctx, broker.Record{Kind: kind, Targets: []broker.Target{t}, Topics: topics})
}

// obeyTime is how long it is waited for this node to do what is in the log.
const obeyTime = time.Second

// steer puts a record into the log, and waits for this node to obey it: who asks it next finds it done.
func (h *Hub) steer(ctx context.Context, r broker.Record) error {
	result := h.append(ctx, []broker.Record{r})[0]
	if result.Err == nil {
		ctx, cancel := context.WithTimeout(ctx, obeyTime)
		defer cancel()
		_ = h.Taken(ctx, result.Position) // it will be done, as it is in the log
	}
	return result.Err
}
