package hub

import (
	"sync"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

const (
	// probePause lies between the two heartbeats of a probe. What has left a front is answered to the first one, if at
	// all, by a reset: so the front notices on the second one at the latest.
	probePause = 200 * time.Millisecond
	// probeEvery is how often one user's streams are probed at most, however many newcomers ask for it.
	probeEvery = time.Second

	// afterProbe and latestAfterProbe bound when a client is to come again that a probe may have made room for.
	afterProbe       = time.Second
	latestAfterProbe = 2 * time.Second
)

// probes remembers whose streams were probed a moment ago.
type probes struct {
	mu    sync.Mutex
	users map[string]struct{}
}

// begin reports whether a user's streams may be probed now.
func (p *probes) begin(user string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.users[user]; ok {
		return false
	}
	if p.users == nil {
		p.users = map[string]struct{}{}
	}
	p.users[user] = struct{}{}
	return true
}

func (p *probes) end(user string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.users, user)
}

// Crowded returns the refusal of a client for which its user, or its ticket, has too many streams. It has two heartbeats
// written to each of the user's streams, so that those whose clients have left are found out: behind a front, that shows
// only when something is written. No stream that takes its bytes ends by it.
func (h *Hub) Crowded(reason, user string) *Refusal {
	if h.probes.begin(user) {
		h.probe(user)
		time.AfterFunc(probePause, func() { h.probe(user) })
		time.AfterFunc(probeEvery, func() { h.probes.end(user) })
	}
	return &Refusal{Reason: reason, Again: afterProbe, Latest: latestAfterProbe}
}

// probe writes a heartbeat to each of a user's streams to which nothing else is being written.
func (h *Hub) probe(user string) {
	for _, s := range h.shards {
		s.mu.Lock()
		s.index.visit(broker.Target{Kind: broker.User, Name: user}, func(c *Conn) {
			if !c.ended && c.waiting == nil {
				c.head([]byte(sse.Heartbeat))
			}
		})
		s.mu.Unlock()
	}
}
