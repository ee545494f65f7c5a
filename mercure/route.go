package mercure

import (
	"github.com/sse-push/caddy-sse-push/internal/guard"
	"github.com/sse-push/caddy-sse-push/internal/identity"
	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/subscribe"
	"github.com/sse-push/caddy-sse-push/mercure/internal/access"
)

// route is the hub's path as a subscribe route. Its clients are known by their tokens alone.
type route struct {
	*subscribe.Route
	cors      *guard.CORS
	keys      *access.Keyring
	anonymous bool
}

func newRoute(path string, s subscribe.Site, cors *guard.CORS, keys *access.Keyring, anonymous bool) (route, error) {
	chain, err := identity.NewChain(identity.Settings{Path: path, Anonymous: true}, s.Log, new(problem.Complaints))
	if err != nil {
		return route{}, err
	}
	return route{subscribe.New(subscribe.Config{
		Path: path, Timing: s.Timing, Chain: chain, CORS: cors, Hub: s.Hub, Log: s.Log,
	}), cors, keys, anonymous}, nil
}

// Admits implements pool.Route.
func (r route) Admits(a *pool.Arrival) bool {
	if a.Page != "" && !r.cors.Allows(a.Page) {
		return false
	}
	if a.Grant == nil {
		return r.anonymous
	}
	return r.keys.Vouches(a.Grant)
}

// Interface guards.
var _ pool.Route = route{}
