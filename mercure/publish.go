package mercure

import (
	"io"
	"net/http"

	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/publish"
	"github.com/sse-push/caddy-sse-push/mercure/internal/access"
	"github.com/sse-push/caddy-sse-push/mercure/internal/update"
)

// publish stores an update, and answers with its id.
func (e *endpoint) publish(w http.ResponseWriter, r *http.Request) {
	g, v, p := e.publisher(r, r.URL.Query())
	if p != nil {
		e.refuse(w, v, p)
		return
	}
	id, p := e.store(w, r, g)
	if p != nil {
		e.refuse(w, v, p)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, id)
}

// store stores the update of a request, if its publisher may publish to each of its topics, and returns its id.
func (e *endpoint) store(w http.ResponseWriter, r *http.Request, g *access.Grant) (id string, p *problem.Problem) {
	theHub, err := e.hub.Get(r.Context())
	if err != nil {
		return "", problem.RetryLater(http.StatusServiceUnavailable, 0, "%v", err)
	}
	record, p := update.Read(w, r, e.base, theHub.MaxEvent())
	if p != nil {
		return "", p
	}
	for _, t := range record.Targets {
		if !g.Publishes(t.Name) {
			return "", e.outOfScope()
		}
	}
	position, p := publish.One(r.Context(), theHub.Hub, record)
	if p != nil || record.ID != "" {
		return record.ID, p
	}
	return "#" + position.String(), nil
}
