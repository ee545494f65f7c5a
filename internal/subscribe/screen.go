package subscribe

import (
	"net/http"

	"github.com/sse-push/caddy-sse-push/internal/identity"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/request"
)

// Screen answers requests that cannot subscribe: preflights, those of pages of other origins, and a question to the app that has
// come back. It reports whether it has answered.
func (route *Route) Screen(w http.ResponseWriter, r *http.Request) (answered bool) {
	if identity.IsQuestion(r) {
		problem.New(http.StatusLoopDetected, "this path cannot say who a client is").Write(w)
		return true
	}
	answered, p := route.HandleCORS(w, r)
	if answered {
		return true
	}
	if p == nil {
		p = request.CheckEmbedded(r)
	}
	if p != nil {
		p.Write(w)
	}
	return p != nil
}

// HandleCORS sets the answer's CORS headers, and answers a preflight request. If pages of this origin may not
// subscribe, it returns the problem.
func (route *Route) HandleCORS(w http.ResponseWriter, r *http.Request) (answered bool, p *problem.Problem) {
	return route.cors.Handle(w, r)
}
