package ssepush

import (
	"context"
	"errors"
	"net/http"

	"github.com/sse-push/caddy-sse-push/internal/api"
	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/problem"
)

// serveExplain says why somebody did or did not get an event.
func serveExplain(w http.ResponseWriter, r *http.Request, p *pool.Hub) *problem.Problem {
	if bad := api.CheckCall(r, []string{http.MethodGet, http.MethodHead}, []string{"who", "event"}); bad != nil {
		return bad
	}
	query := r.URL.Query()
	q := hub.Question{Who: query.Get("who"), Event: query.Get("event")}
	if q.Who == "" && q.Event == "" {
		return problem.New(http.StatusBadRequest, "give who (a user or a connection), event (its id), or both")
	}
	// What has just been published is to be seen, but not waited for without end.
	ctx, cancel := context.WithTimeout(r.Context(), api.AnswerTimeout)
	defer cancel()
	if _, err := p.Position(ctx); err != nil && !errors.Is(err, hub.ErrNotReady) {
		return api.Unreachable(err)
	}
	explanation, err := p.Explain(q)
	if err != nil {
		return problem.Field("event", "%v", err)
	}
	api.WriteJSON(w, http.StatusOK, explanation)
	return nil
}
