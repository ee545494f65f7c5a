package source

import (
	"cmp"
	"slices"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/pool"
)

// Info describes a source to operators.
type Info struct {
	ID        string     `json:"id"`
	Path      string     `json:"path"`
	Shared    string     `json:"shared"`
	State     State      `json:"state"`
	Listeners int        `json:"listeners"`
	Asking    int        `json:"asking"` // clients that wait for the app's first answer
	Events    uint64     `json:"events"`
	Bytes     uint64     `json:"bytes"`
	Since     time.Time  `json:"since"`
	LastEvent *time.Time `json:"last_event,omitempty"`
	Reopened  int        `json:"reopened"`
	LastError string     `json:"last_error,omitempty"`
}

// List returns the sources of a hub, the oldest first.
func List(p *pool.Hub) []Info {
	infos := []Info{}
	for _, s := range RegistryOf(p).list() {
		infos = append(infos, s.info())
	}
	slices.SortFunc(infos, func(a, b Info) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID)) })
	return infos
}

func (s *source) info() Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := Info{
		ID: s.id, Path: s.path, Shared: s.share, State: s.state, Listeners: s.log.Listeners(s.id), Asking: len(s.askers), Events: s.counts.Events.Load(),
		Bytes: s.counts.Bytes.Load(), Since: s.began, Reopened: s.reopened, LastError: s.lastErr,
	}
	if last := s.counts.Last(); !last.IsZero() {
		i.LastEvent = &last
	}
	switch {
	case s.over != nil, !s.leaving.IsZero():
		i.State = Ending
	case s.state == Open && !s.unheard.IsZero():
		i.State = Lingering
	}
	return i
}

// StatsOf returns the counts of a hub's sources.
func StatsOf(p *pool.Hub) Stats {
	reg := RegistryOf(p)
	if reg == nil {
		return Stats{}
	}
	reg.mu.Lock()
	defer reg.mu.Unlock()
	stats := reg.totals.read()
	stats.Open = len(reg.all)
	for s := range reg.all {
		stats.take(&s.counts)
	}
	return stats
}
