package source

import (
	"cmp"
	"slices"

	"github.com/sse-push/caddy-sse-push/internal/pool"
)

// List implements pool.Sourcer.
func (reg *Registry) List() []pool.Source {
	infos := []pool.Source{}
	for _, s := range reg.list() {
		infos = append(infos, s.info())
	}
	slices.SortFunc(infos, func(a, b pool.Source) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID)) })
	return infos
}

func (s *source) info() pool.Source {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := pool.Source{
		ID: s.id, Path: s.path, Shared: s.share, State: string(s.state), Listeners: s.log.Listeners(s.id), Asking: len(s.askers), Events: s.counts.Events.Load(),
		Bytes: s.counts.Bytes.Load(), Since: s.began, Reopened: s.reopened, LastError: s.lastErr,
	}
	if last := s.counts.Last(); !last.IsZero() {
		i.LastEvent = &last
	}
	switch {
	case s.over != nil, !s.leaving.IsZero():
		i.State = string(Ending)
	case s.state == Open && !s.unheard.IsZero():
		i.State = string(Lingering)
	}
	return i
}

// Stats implements pool.Sourcer.
func (reg *Registry) Stats() pool.SourceStats {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	stats := reg.totals.read()
	stats.Open = len(reg.all)
	for s := range reg.all {
		take(&stats, &s.counts)
		if s.failing.Load() {
			stats.Failing++
		}
	}
	return stats
}
