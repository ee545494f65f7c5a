package subscribe

import (
	"net/http"

	"github.com/sse-push/caddy-sse-push/internal/request"
)

// Enter asks the hub for admission before anything is looked up for a client of a network: one that comes too often, or for which
// there is no place in any case, costs nothing more.
func (route *Route) Enter(r *http.Request, network string) error {
	if r.Method == http.MethodHead {
		return nil
	}
	// With a client's name, the stream may take the place of one that the client has.
	needsRoom := r.ContentLength == 0 && !request.HasParam(r, "client")
	return route.hub.Enter(r.Context(), network, needsRoom)
}
