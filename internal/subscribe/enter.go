package subscribe

import (
	"net/http"

	"github.com/sse-push/caddy-sse-push/internal/request"
)

// Enter asks the hub for admission before anything is looked up for a client: one that comes too often, or for which there is
// no place in any case, costs nothing more.
func (route *Route) Enter(r *http.Request) error {
	if r.Method == http.MethodHead {
		return nil
	}
	_, network := request.ClientAddress(r)
	// With a client's name, the stream may take the place of one that the client has.
	needsRoom := r.ContentLength == 0 && !r.URL.Query().Has("client")
	return route.hub.Enter(r.Context(), network, needsRoom)
}
