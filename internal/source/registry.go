package source

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/identity"
	"github.com/sse-push/caddy-sse-push/internal/pool"
)

// Registry has the sources of a hub.
type Registry struct {
	hub *pool.Hub

	mu     sync.Mutex // guards all below
	log    *hub.Hub   // the companion that has their events; set with the first source
	byKey  map[key]*source
	all    map[*source]bool // including those that no key leads to any more
	care   *time.Timer      // nil if there is no source
	closed bool
	totals totals
	sizes  map[string]int // how many routes of the config in force are at each place

	retiring map[*time.Timer]bool // one for each source that has ended, until the log has forgotten it
}

// RegistryOf returns the sources of a hub; nil if the hub is about to end.
func RegistryOf(p *pool.Hub) *Registry {
	reg, _ := p.Resident(pool.SourcesResident, func(p *pool.Hub) pool.Resident {
		return &Registry{
			hub: p, byKey: map[key]*source{}, all: map[*source]bool{}, totals: newTotals(), sizes: sizesOf(termsOf(p.Routes())),
			retiring: map[*time.Timer]bool{},
		}
	}).(*Registry)
	return reg
}

// join adds a client to the source of a key, and starts one if there is none.
func (reg *Registry) join(k key, v *visitor, id identity.Identity, network string, a *asker) (*source, error) {
	if reg == nil {
		return nil, &hub.Refusal{Reason: "draining"}
	}
	a.visitor = v
	reg.mu.Lock()
	defer reg.mu.Unlock()
	if reg.closed {
		return nil, &hub.Refusal{Reason: "draining"}
	}
	s := reg.byKey[k]
	if s != nil {
		if !s.join(a) {
			return nil, &hub.Refusal{Reason: "source", Again: time.Second} // its last request is not over yet
		}
		return s, nil
	}
	if reason := reg.full(&v.terms.settings, network); reason != "" {
		return nil, &hub.Refusal{Reason: reason}
	}
	if reg.log == nil {
		reg.log = reg.hub.Sources()
	}
	s = newSource(reg, k, v, id, network)
	s.join(a)
	reg.byKey[k], reg.all[s] = s, true
	if reg.care == nil {
		reg.care = time.AfterFunc(carePause, reg.takeCare)
	}
	go s.run()
	return s, nil
}

// full returns the limit that keeps a client of a network from starting a source; "" if there is none. The caller holds mu.
func (reg *Registry) full(settings *Settings, network string) string {
	if len(reg.all) >= settings.Max {
		return "sources"
	}
	own := 0
	for s := range reg.all {
		if s.network == network {
			own++
		}
	}
	if settings.PerClient > 0 && own >= settings.PerClient {
		return "sources_per_client"
	}
	return ""
}

// unlink lets the next request with the key of a source start another one.
func (reg *Registry) unlink(s *source) {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	if reg.byKey[s.key] == s {
		delete(reg.byKey, s.key)
	}
}

// remove forgets a source whose last request is over.
func (reg *Registry) remove(s *source) {
	reg.unlink(s)
	reg.mu.Lock()
	delete(reg.all, s)
	reg.totals.add(&s.counts)
	reg.retire(s)
	reg.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.known {
		return
	}
	reg.hub.Log().Info("source ended", zap.String("source", s.id), zap.String("path", s.path), zap.Duration("duration", time.Since(s.began)),
		zap.Uint64("events", s.counts.Events.Load()), zap.Uint64("bytes", s.counts.Bytes.Load()), zap.String("reason", s.over.Error()))
}

// retirement is how long after its end nothing of a source is left in the log.
const retirement = pool.SourcesAge + time.Minute

// retire has the log forget a source once it has nothing of it any more. The caller holds mu.
func (reg *Registry) retire(s *source) {
	if reg.closed { // the log goes as well
		return
	}
	log, id := s.log, s.id
	var due *time.Timer
	due = time.AfterFunc(retirement, func() {
		log.Retire(id)
		reg.mu.Lock()
		defer reg.mu.Unlock()
		delete(reg.retiring, due)
	})
	reg.retiring[due] = true
}

// list returns all sources.
func (reg *Registry) list() (list []*source) {
	if reg == nil {
		return nil
	}
	reg.mu.Lock()
	defer reg.mu.Unlock()
	for s := range reg.all {
		list = append(list, s)
	}
	return list
}

// Forget implements pool.Resident: it ends the sources that were started by a user's proof.
func (reg *Registry) Forget(user string) {
	go func() {
		for _, s := range reg.list() {
			if s.user != "" && (user == "" || user == s.user) {
				s.finish(errLoggedOut)
			}
		}
	}()
}

// Close implements pool.Resident: it ends all sources. Their listeners go with the hub.
func (reg *Registry) Close() {
	reg.mu.Lock()
	reg.closed = true
	for due := range reg.retiring {
		if due.Stop() { // it would keep the log in memory
			delete(reg.retiring, due)
		}
	}
	reg.mu.Unlock()
	for _, s := range reg.list() {
		s.finish(errClosed)
	}
}

// positionTimeout is how long a source waits for the log before it starts.
const positionTimeout = 5 * time.Second

// begin sets the place in the log from which the source's events come.
func (s *source) begin() error {
	ctx, cancel := context.WithTimeout(s.ctx, positionTimeout)
	defer cancel()
	at, err := s.log.Position(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.start, s.position = at, at
	return err
}
