package hub

import (
	"sync"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

const (
	// probePause is the time between the two heartbeats of a probe. If a client has left a proxy in front, the first heartbeat
	// is at most answered by a reset, so that the proxy notices with the second one at the latest.
	probePause = 200 * time.Millisecond
	// probeEvery is how often one user's streams are probed at most, however many new clients cause it.
	probeEvery = time.Second

	// afterProbe and latestAfterProbe bound the time until a client is to try again for which a probe may have made room.
	afterProbe       = time.Second
	latestAfterProbe = 2 * time.Second
)

// probes has the users whose streams were probed a moment ago.
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

// Crowded returns the refusal of a client whose user, or ticket, has too many streams. It writes two heartbeats to each of the
// user's streams, to find those whose clients have left: with a proxy in front, that shows only when something is written. It
// ends no stream whose client takes its bytes.
func (h *Hub) Crowded(reason, user string) *Refusal {
	if h.probes.begin(user) {
		h.probe(user)
		time.AfterFunc(probePause, func() { h.probe(user) })
		time.AfterFunc(probeEvery, func() { h.probes.end(user) })
	}
	return &Refusal{Reason: reason, Again: afterProbe, Latest: latestAfterProbe}
}

// probe writes a heartbeat to each of a user's streams for which nothing waits.
func (h *Hub) probe(user string) {
	for s := range h.main.everyShard() {
		s.mu.Lock()
		s.index.visit(broker.Target{Kind: broker.User, Name: user}, func(c *Conn) {
			if !c.ended && c.waiting == nil {
				c.head([]byte(sse.Heartbeat))
			}
		})
		s.mu.Unlock()
	}
}
