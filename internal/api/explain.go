package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/problem"
)

// Explanation says why a client did or did not get an event.
type Explanation = hub.Explanation

// serveExplain answers why a user or a connection did or did not get an event.
func serveExplain(w http.ResponseWriter, r *http.Request, p *pool.Hub) *problem.Problem {
	if bad := CheckCall(r, []string{http.MethodGet, http.MethodHead}, []string{"who", "event"}); bad != nil {
		return bad
	}
	query := r.URL.Query()
	q := hub.Question{Who: query.Get("who"), Event: query.Get("event")}
	if q.Who == "" && q.Event == "" {
		return problem.New(http.StatusBadRequest, "give who (a user or a connection), event (its id), or both")
	}
	// Asking for the end of the log waits until what has just been published can be seen, for a while at most.
	ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
	defer cancel()
	if _, err := p.Position(ctx); err != nil && !errors.Is(err, hub.ErrNotReady) {
		return unreachable(err)
	}
	explanation, err := p.Explain(q)
	if err != nil {
		return problem.Field("event", "%v", err)
	}
	nameSources(&explanation, p.SourceList())
	nameRelays(&explanation, p.RelayLog())
	writeJSON(w, http.StatusOK, explanation)
	return nil
}
