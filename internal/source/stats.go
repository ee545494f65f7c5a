package source

import (
	"maps"
	"sync"

	"github.com/sse-push/caddy-sse-push/internal/feed"
)

// Stats are the counts of a hub's sources, those that have ended included.
type Stats struct {
	Open      int               // sources
	Events    uint64            // that the log has taken
	Bytes     uint64            // of upstreams
	Dropped   uint64            // events whose names no client may be sent
	Upstreams map[string]uint64 // upstream requests by their outcome: stream, broken, other, slow, error
}

func (s *Stats) take(c *feed.Counts) {
	s.Events += c.Events.Load()
	s.Bytes += c.Bytes.Load()
	s.Dropped += c.Dropped.Load()
}

// totals count what sources have done that have ended, and all upstream requests.
type totals struct {
	mu    *sync.Mutex // guards all below
	stats *Stats
}

func newTotals() totals {
	return totals{new(sync.Mutex), &Stats{Upstreams: map[string]uint64{"stream": 0, "broken": 0, "other": 0, "slow": 0, "error": 0}}}
}

func (t totals) add(c *feed.Counts) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stats.take(c)
}

func (t totals) count(outcome string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stats.Upstreams[outcome]++
}

func (t totals) read() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	stats := *t.stats
	stats.Upstreams = maps.Clone(stats.Upstreams)
	return stats
}
