package pool

import (
	"time"

	"github.com/sse-push/caddy-sse-push/internal/identity"
)

// Route is a subscribe route as a hub sees it.
type Route interface {
	// Path returns the path that the route answers. Routes of several sites may have the same one.
	Path() string
	// Admits reports whether the route lets in a connection that came by a route of the same path, perhaps of an earlier config:
	// by the origin of its page, and by what vouched for its user.
	Admits(a *Arrival) bool
	// Grants returns what the route grants to a user's connection that came by a route of the same path.
	Grants(a *Arrival, user string) identity.Identity
	// Timing returns how long a stream may be silent before it gets a heartbeat, and how long a write may take.
	Timing() (heartbeat, writeTimeout time.Duration)
	// Forget makes the route ask the app anew about a user, or about every user if it is "".
	Forget(user string)
}
