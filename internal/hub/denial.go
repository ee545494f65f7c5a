package hub

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// ErrDenied: the user is not admitted for some time.
var ErrDenied = errors.New("the user is denied")

// denials has the users who are not admitted, and until when.
type denials struct {
	mu    sync.Mutex // guards all below
	until map[string]time.Time
	swept time.Time
}

// Denied reports whether a user is not admitted now.
func (h *Hub) Denied(user string) bool {
	d := &h.denials
	d.mu.Lock()
	defer d.mu.Unlock()
	until, ok := d.until[user]
	return ok && time.Now().Before(until)
}

func (d *denials) set(user string, until time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if d.until == nil {
		d.until = map[string]time.Time{}
	}
	if d.until[user] = until; now.Sub(d.swept) < time.Minute {
		return
	}
	d.swept = now
	for name, until := range d.until {
		if !now.Before(until) {
			delete(d.until, name)
		}
	}
}

// OnRevoke sets a function that every node calls, before streams end, with each user from whom something is taken; "" stands
// for anyone. That of a companion is called with each user whose streams were ended. It must not call the hub.
func (h *Hub) OnRevoke(f func(user string)) { h.revoked.Store(&f) }

// heed does what an entry asks of the node as a whole, before its shards obey it.
func (h *Hub) heed(e *entry) {
	ctl := e.control
	if ctl.kind == broker.Supersede || ctl.kind == broker.Join || h.accompanies() {
		return
	}
	revoked := h.revoked.Load()
	for _, t := range ctl.targets {
		user := ""
		switch t.Kind {
		case broker.User:
			user = t.Name
			if ctl.kind == broker.Deny {
				h.denials.set(user, e.at.Add(ctl.ttl))
			}
		case broker.Connection:
			if c := h.find(t.Name); c == nil || c.User == "" {
				continue
			} else {
				user = c.User
			}
		}
		if revoked != nil {
			(*revoked)(user)
		}
	}
	for _, one := range h.all()[1:] {
		one.follow(e)
	}
}

// Deny is DisconnectUser, and keeps the user from being admitted for a time, by the clock of the broker; 0 admits the user
// again. A node that starts later knows of it if its window reaches back so far.
func (h *Hub) Deny(ctx context.Context, user string, d time.Duration) error {
	return h.steer(ctx, broker.Record{Kind: broker.Deny, Targets: []broker.Target{{Kind: broker.User, Name: user}}, TTL: d})
}
