package pool

import (
	"time"

	"github.com/sse-push/caddy-sse-push/internal/identity"
)

// Route is a subscribe route as a hub sees it.
type Route interface {
	// Path returns the path that the route answers. Routes of several sites may have the same one.
	Path() string
	// Admits reports whether the route would let in, by its config, a connection that came by a route of the same path.
	Admits(a *Arrival) bool
	// Grants returns what the route grants to a connection that came by a route of the same path.
	Grants(a *Arrival, user string) identity.Identity
	// Timing returns how long a stream may be silent, and how long a write may take.
	Timing() (heartbeat, writeTimeout time.Duration)
	// Forget makes the route ask anew for a user, or for every user if it is "".
	Forget(user string)
}
