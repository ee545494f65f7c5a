package ssepush

import (
	"errors"
	"net/http"

	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/request"
)

// arrive asks for admission before anything is looked up for a client: one that comes too often, or for which there is no
// place in any case, costs nothing more.
func (s *streamRoute) arrive(r *http.Request) error {
	if r.Method == http.MethodHead {
		return nil
	}
	_, network := request.ClientAddress(r)
	// With a client's name the stream may take the place of one that the client has.
	needsRoom := r.ContentLength == 0 && !r.URL.Query().Has("client")
	return s.hub.Enter(r.Context(), network, needsRoom)
}

// comeAgain is a problem for a client that is sent off by an error, and may come again.
func comeAgain(err error) *problem.Problem {
	p := problem.New(http.StatusServiceUnavailable, "no stream just now")
	p.Again, p.Cause = "broker", err
	var refusal *hub.Refusal
	if errors.As(err, &refusal) {
		p.Again, p.After = refusal.Reason, refusal.Again
	}
	return p
}
