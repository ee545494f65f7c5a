package pool

import (
	"sync"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/membroker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// companions has the companions of a hub.
type companions struct {
	mu      sync.Mutex // guards sources
	sources *hub.Hub   // nil until it is used
}

// SourcesAge is how long the events of shared sources are kept for clients that resume.
const SourcesAge = 5 * time.Minute

// sourcesHistory bounds what is kept of all shared sources of a hub.
var sourcesHistory = hub.History{Events: 1 << 20, Bytes: 64 << 20, Age: SourcesAge}

// Sources returns the companion that has the events of shared sources. They are this node's own, and in memory only.
func (p *Hub) Sources() *hub.Hub {
	p.companions.mu.Lock()
	defer p.companions.mu.Unlock()
	if p.companions.sources == nil {
		sources := p.Companion(p.Name+".sources", membroker.Open(), sourcesHistory)
		sources.OnRevoke(p.residents.forget)
		p.companions.sources = sources
	}
	return p.companions.sources
}
