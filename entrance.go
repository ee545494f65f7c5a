package ssepush

import (
	"context"
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
	ctx, cancel := context.WithTimeout(r.Context(), admitTimeout)
	defer cancel()
	theHub, err := s.hub.get(ctx)
	if err != nil {
		return err
	}
	// With a client's name the stream may take another one's place.
	if r.ContentLength == 0 && !r.URL.Query().Has("client") {
		if s.hub.settings.exceeds(openStreams.Load() + 1) {
			return &hub.Refusal{Reason: "connections"}
		}
		if err := theHub.HasRoom(network); err != nil {
			return err
		}
	}
	return theHub.Arrive(network)
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
