package mercure

import (
	"net/http"

	"github.com/sse-push/caddy-sse-push/internal/problem"
)

func (e *endpoint) subscriptions(w http.ResponseWriter, r *http.Request) {
	_, p := e.subscriber(r, e.keys.Newest(), r.URL.Query())
	if p == nil {
		p = problem.New(http.StatusNotImplemented, "")
	}
	e.refuse(w, e.keys.Newest(), p)
}
