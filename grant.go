package ssepush

import (
	"context"
	"errors"
	"sync"

	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// held is what living connections hold that only one may: the tickets for one use.
var held struct {
	mu sync.Mutex
	by map[string]*arrival
}

// enter takes what only one connection may hold, and reports whether it was free.
func (a *arrival) enter() bool {
	if a.grant.Once == "" {
		return true
	}
	held.mu.Lock()
	defer held.mu.Unlock()
	if held.by[a.grant.Once] != nil {
		return false
	}
	if held.by == nil {
		held.by = map[string]*arrival{}
	}
	held.by[a.grant.Once] = a
	return true
}

// leave lets go of what a connection held.
func (a *arrival) leave() {
	if a.grant == nil {
		return
	}
	deadlines.remove(a.deadline)
	held.mu.Lock()
	defer held.mu.Unlock()
	if held.by[a.grant.Once] == a {
		delete(held.by, a.grant.Once)
	}
}

var errOverLimit = errors.New("over the limit that came with its grant")

// admit subscribes a client, within what it was granted.
func (p *pooledHub) admit(ctx context.Context, sub hub.Subscription, s *HubSettings) (*hub.Conn, error) {
	a, ok := sub.Route.(*arrival)
	if !ok || a.grant == nil {
		return p.subscribe(ctx, sub, s)
	}
	if !a.enter() {
		return nil, p.Crowded("in_use", sub.User)
	}
	conn, err := p.subscribe(ctx, sub, s)
	if err != nil {
		a.leave()
		return nil, err
	}
	// Afterwards, so that of two who come at once none slips through: rather both come again.
	if limit := a.grant.Limit; limit > 0 && p.UserHere(sub.User) > limit {
		conn.Close(errOverLimit)
		return nil, p.Crowded("per_user", sub.User)
	}
	if !a.grant.Expires.IsZero() {
		a.deadline = deadlines.add(conn, a.grant.Expires)
	}
	return conn, nil
}
