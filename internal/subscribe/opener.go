package subscribe

import (
	"net/http"

	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/identity"
	"github.com/sse-push/caddy-sse-push/internal/stream"
)

// Opener opens the stream that a client asks for in a companion of the route's hub. It returns the stream's connection, and the source
// that stands between the two. It returns nil if it has answered the request itself.
type Opener func(w http.ResponseWriter, r *http.Request, route *Route, id identity.Identity, sub hub.Subscription) (*hub.Conn, stream.Source, *stream.Timing)

// Beside returns the Opener of a request. It returns nil if the stream is one of the route's hub.
type Beside func(r *http.Request) (Opener, error)

// Opener returns what opens the stream that a request asks for, or nil if that is the route.
func (route *Route) Opener(r *http.Request) (Opener, error) {
	if route.beside == nil {
		return nil, nil
	}
	return route.beside(r)
}
