package source

import (
	"maps"
	"sync"

	"github.com/sse-push/caddy-sse-push/internal/feed"
	"github.com/sse-push/caddy-sse-push/internal/pool"
)

// take adds the counts of a source.
func take(s *pool.SourceStats, c *feed.Counts) {
	s.Events += c.Events.Load()
	s.Bytes += c.Bytes.Load()
	s.Dropped += c.Dropped.Load()
	s.DroppedIDs += c.DroppedIDs.Load()
}

// totals count what sources have done that have ended, and all upstream requests.
type totals struct {
	mu    *sync.Mutex // guards all below
	stats *pool.SourceStats
}

func newTotals() totals {
	stats := pool.NewSourceStats()
	return totals{new(sync.Mutex), &stats}
}

func (t totals) add(c *feed.Counts) {
	t.mu.Lock()
	defer t.mu.Unlock()
	take(t.stats, c)
}

func (t totals) count(outcome string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stats.Upstreams[outcome]++
}

func (t totals) read() pool.SourceStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	stats := *t.stats
	stats.Upstreams = maps.Clone(stats.Upstreams)
	return stats
}
