package subscribe

import (
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/guard"
	"github.com/sse-push/caddy-sse-push/internal/identity"
	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/request"
)

// Config is what a Route is made of.
type Config struct {
	Path   string // that the route answers
	Timing Timing // with its defaults filled in
	Chain  *identity.Chain
	CORS   *guard.CORS
	Hub    *pool.Ref
	Beside Beside // nil: no request asks for other streams than the route's own
	Log    *zap.Logger
}

// Route is a subscribe route.
type Route struct {
	path   string
	chain  *identity.Chain
	cors   *guard.CORS
	hub    *pool.Ref
	beside Beside
	log    *zap.Logger

	heartbeat, writeTimeout time.Duration
	retryMin, retryMax      time.Duration

	shared *pool.Arrival // for all connections that have nothing of their own to keep
}

// New returns a route of a hub. It does not add the route to the hub.
func New(c Config) *Route {
	return &Route{
		path: c.Path, chain: c.Chain, cors: c.CORS, hub: c.Hub, beside: c.Beside, log: c.Log,
		heartbeat: time.Duration(c.Timing.Heartbeat), writeTimeout: time.Duration(c.Timing.WriteTimeout),
		retryMin: time.Duration(c.Timing.RetryMin), retryMax: time.Duration(c.Timing.RetryMax),
		shared: &pool.Arrival{Path: c.Path},
	}
}

// Path implements pool.Route.
func (route *Route) Path() string { return route.path }

// Admits implements pool.Route.
func (route *Route) Admits(a *pool.Arrival) bool {
	return (a.Page == "" || route.cors.Allows(a.Page)) && route.chain.Vouches(a.Grant)
}

// Grants implements pool.Route.
func (route *Route) Grants(a *pool.Arrival, user string) identity.Identity {
	return route.chain.Regrant(user, a.Filled, a.Grant)
}

// Timing implements pool.Route.
func (route *Route) Timing() (heartbeat, writeTimeout time.Duration) {
	return route.heartbeat, route.writeTimeout
}

// Forget implements pool.Route.
func (route *Route) Forget(user string) { route.chain.Forget(user) }

// Identify returns who sent a request that is no subscription.
func (route *Route) Identify(r *http.Request) (identity.Identity, *problem.Problem) {
	return route.chain.Identify(r, nil, nil)
}

// arrival returns what a connection keeps of its request.
func (route *Route) arrival(r *http.Request, id identity.Identity) *pool.Arrival {
	origin := r.Header.Get("Origin")
	if request.IsOwnOrigin(r) {
		origin = ""
	}
	a := &pool.Arrival{Path: route.path, Page: origin, Filled: route.chain.Filled(r, id.User), Grant: id.Grant}
	if a.Page == "" && a.Filled == nil && a.Grant == nil {
		return route.shared
	}
	return a
}

// Interface guards.
var _ pool.Route = (*Route)(nil)
