package guard

import (
	"errors"
	"net/http"
	"slices"

	"github.com/rs/cors"

	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/request"
)

// CORS decides which pages may subscribe.
type CORS struct{ cors *cors.Cors }

// NewCORS returns a policy for pages of other origins. They may send some headers besides those that every client sends, and read some
// of the answers'.
func NewCORS(origins, sent, read []string) (*CORS, error) {
	if err := CheckCORS(origins); err != nil {
		return nil, err
	}
	options := cors.Options{
		AllowedOrigins:   origins,
		AllowedMethods:   []string{http.MethodGet, http.MethodHead, http.MethodPost, "QUERY"},
		AllowedHeaders:   append(slices.Clip(sent), "Last-Event-ID", "Cache-Control", "Content-Type", "Authorization"),
		ExposedHeaders:   read,
		AllowCredentials: !slices.Contains(origins, "*"),
		MaxAge:           600,
	}
	if len(origins) == 0 {
		// The library takes an empty list to mean every origin.
		options.AllowOriginFunc = func(string) bool { return false }
	}
	return &CORS{cors.New(options)}, nil
}

// Handle sets the response's CORS headers, so that errors bear them too, and answers preflight requests (done). It returns a
// problem for a page whose origin may not subscribe. That page may read the status of a HEAD, sent without credentials, so that its
// client can tell a refusal from a network that fails.
func (c *CORS) Handle(w http.ResponseWriter, r *http.Request) (done bool, p *problem.Problem) {
	if origins := r.Header["Origin"]; len(origins) > 0 {
		if len(origins[0]) > request.MaxOrigin { // it is kept for the life of the stream
			w.Header().Add("Vary", "Origin")
			return false, problem.New(http.StatusForbidden, "the Origin is longer than %d bytes", request.MaxOrigin)
		}
		if len(origins) > 1 || !c.cors.OriginAllowed(r) && !request.IsOwnOrigin(r) {
			w.Header().Add("Vary", "Origin")
			if r.Method == http.MethodHead {
				w.Header().Set("Access-Control-Allow-Origin", "*")
			}
			return false, problem.New(http.StatusForbidden, "pages of this origin may not subscribe here (cors_origins)")
		}
	}
	return c.Announce(w, r), nil
}

// Announce is Handle for requests that any page may send: their pages may only read the answers if the policy says so.
func (c *CORS) Announce(w http.ResponseWriter, r *http.Request) (done bool) {
	c.cors.HandlerFunc(w, r)
	return r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
}

// Allows reports whether pages of an origin other than the request's own may subscribe.
func (c *CORS) Allows(origin string) bool {
	return c.cors.OriginAllowed(&http.Request{Header: http.Header{"Origin": {origin}}})
}

// CheckCORS reports what is wrong with a policy: it lists origins, or `*` alone.
func CheckCORS(origins []string) error {
	if slices.Contains(origins, "*") {
		if len(origins) > 1 {
			return errors.New("* must stand alone: it allows every origin, without credentials")
		}
		return nil
	}
	for _, o := range origins {
		if err := request.CheckOrigin(o); err != nil {
			return err
		}
	}
	return nil
}
