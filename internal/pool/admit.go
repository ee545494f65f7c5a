package pool

import (
	"context"
	"errors"

	"github.com/sse-push/caddy-sse-push/internal/hub"
)

var errOverLimit = errors.New("over the limit that came with its grant")

// admit subscribes a client within what it was granted, to the hub or to a companion of it. The stream ends with the grant.
func (p *Hub) admit(ctx context.Context, to *hub.Hub, a *Arrival, sub hub.Subscription) (*hub.Conn, error) {
	sub.Attached, sub.Keeps = a, a.size()
	if a.Grant == nil {
		return p.subscribe(ctx, to, sub)
	}
	if !a.enter() {
		return nil, p.Crowded("in_use", sub.User)
	}
	conn, err := p.subscribe(ctx, to, sub)
	if err != nil {
		a.leave()
		return nil, err
	}
	// The check comes after the subscription, so that of two clients that come at once none slips through: rather both are
	// sent away to come again.
	if limit := a.Grant.Limit; limit > 0 && p.UserHere(sub.User) > limit {
		conn.Close(errOverLimit)
		return nil, p.Crowded("per_user", sub.User)
	}
	if !a.Grant.Expires.IsZero() {
		a.deadline = deadlines.add(conn, a.Grant.Expires)
	}
	return conn, nil
}
