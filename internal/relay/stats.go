package relay

import (
	"github.com/sse-push/caddy-sse-push/internal/feed"
	"github.com/sse-push/caddy-sse-push/internal/pool"
)

// take adds the counts of a run.
func take(s *pool.RelayStats, c *feed.Counts) {
	s.Events += c.Events.Load()
	s.Bytes += c.Bytes.Load()
	s.Dropped += c.Dropped.Load()
	s.DroppedIDs += c.DroppedIDs.Load()
}
