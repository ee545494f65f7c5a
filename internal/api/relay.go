package api

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/problem"
)

// Relay describes a relay.
type Relay = pool.Relay

// RelayList is a page of a hub's relays, the newest first.
type RelayList struct {
	Relays []Relay `json:"relays"`
	Total  int     `json:"total"`
	Next   string  `json:"next,omitempty"` // what to give as after, for the next page
}

// relayStatuses are the values of Relay.Status.
var relayStatuses = []string{"running", "complete", "cancelled", "failed", "interrupted"}

func viewRelays(ctx context.Context, p *pool.Hub, q url.Values) (any, *problem.Problem) {
	limit, bad := limitOf(q)
	if bad != nil {
		return nil, bad
	}
	f := pool.RelayFilter{User: q.Get("user"), Status: q.Get("status"), After: q.Get("after")}
	if f.Status != "" && !slices.Contains(relayStatuses, f.Status) {
		return nil, problem.Field("status", "must be one of %s", strings.Join(relayStatuses, ", "))
	}
	rows, total, next, err := p.Relays().List(ctx, f, limit)
	return RelayList{rows, total, next}, unreachable(err)
}

func viewRelay(ctx context.Context, p *pool.Hub, id string) (any, *problem.Problem) {
	relay, found, err := p.Relays().Find(ctx, id)
	if err == nil && !found {
		return nil, noRelay(id)
	}
	return relay, unreachable(err)
}

func noRelay(id string) *problem.Problem {
	return problem.New(http.StatusNotFound, "there is no relay %s", problem.Clip(id))
}

// noRelayStart returns the answer to a call that would start a relay but did not come through the internal route of a directive
// with `relay`: only that route knows where requests may go.
func noRelayStart() *problem.Problem {
	return problem.New(http.StatusNotFound, "start a relay on the internal route of the directive that has the option relay")
}

// nameRelays adds to an explanation which relay each connection listens to.
func nameRelays(x *Explanation, log string) {
	for i := range x.Connections {
		if a := &x.Connections[i]; a.Log == log && len(a.Topics) > 0 {
			a.Detail += "; it listens to the relay " + a.Topics[0]
		}
	}
}
