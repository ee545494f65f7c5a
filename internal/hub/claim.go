package hub

import (
	"context"
	"hash/maphash"

	"github.com/sse-push/caddy-sse-push/broker"
)

// claim gives a connection an id that an older stream may have. All that have it on this node are in one shard; those on
// others are ended by a record, so that of several streams the one whose record comes last is the one.
func (h *Hub) claim(ctx context.Context, c *Conn, id string) error {
	if id == "" {
		return nil
	}
	c.shard = h.shards[maphash.String(h.recent.seed, id)%uint64(len(h.shards))]
	if h.nodes == nil {
		return nil
	}
	r := h.append(ctx, []broker.Record{{Kind: broker.Supersede, Targets: []broker.Target{{Kind: broker.Connection, Name: id}}}})[0]
	c.extra = &extra{claimed: r.Position}
	return r.Err
}

// replace ends the stream that has an id on this node.
func (h *Hub) replace(id string) {
	c := h.connection(id)
	if c == nil {
		return
	}
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	if c.place != gone {
		c.finish(superseded)
	}
}
