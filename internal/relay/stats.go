package relay

import (
	"github.com/sse-push/caddy-sse-push/internal/feed"
	"github.com/sse-push/caddy-sse-push/internal/pool"
)

// Stats implements pool.Relayer.
func (r *Registry) Stats() pool.RelayStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	stats := r.totals.Clone()
	stats.Running, stats.Untold = len(r.runs), len(r.due)
	for _, x := range r.runs {
		take(&stats, &x.counts)
	}
	return stats
}

// take adds the counts of a run.
func take(s *pool.RelayStats, c *feed.Counts) {
	s.Events += c.Events.Load()
	s.Bytes += c.Bytes.Load()
	s.Dropped += c.Dropped.Load()
	s.DroppedIDs += c.DroppedIDs.Load()
}
