package mercure

import (
	"net/http"

	"github.com/sse-push/caddy-sse-push/internal/problem"
)

func (e *endpoint) subscribe(w http.ResponseWriter, r *http.Request) {
	_, p := e.subscriber(r, e.keys.Newest(), r.URL.Query())
	e.pending(w, p)
}

func (e *endpoint) subscriptions(w http.ResponseWriter, r *http.Request) {
	e.subscribe(w, r)
}

func (e *endpoint) pending(w http.ResponseWriter, p *problem.Problem) {
	if p == nil {
		p = problem.New(http.StatusNotImplemented, "")
	}
	e.refuse(w, e.keys.Newest(), p)
}
