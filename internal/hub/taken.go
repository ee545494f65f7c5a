package hub

import (
	"context"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// takenInterval is how often Taken looks at a shard.
const takenInterval = time.Millisecond

// Taken waits until everything up to a position has been taken to the connections of this node that hear it, so that their
// writers have it. A position in a life of the log that this node has not seen is yet to come.
func (h *Hub) Taken(ctx context.Context, p broker.Position) error {
	_, _, grown := h.window.end()
	seq, at := h.window.locate(p)
	for at == newer || at == foreign {
		select {
		case <-grown:
		case <-ctx.Done():
			return ErrNotReady
		}
		_, _, grown = h.window.end()
		seq, at = h.window.locate(p)
	}
	if at != within {
		return nil // trimmed already
	}
	look := time.NewTicker(takenInterval)
	defer look.Stop()
	for _, s := range h.shards {
		for !s.hasTaken(seq) {
			select {
			case <-look.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

// hasTaken reports whether everything up to seq has been taken to the live connections.
func (s *shard) hasTaken(seq uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cursor >= seq
}
