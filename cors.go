package ssepush

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/rs/cors"

	"github.com/sse-push/caddy-sse-push/internal/problem"
)

// corsPolicy says which pages may subscribe.
type corsPolicy struct{ cors *cors.Cors }

// newCORS returns a policy for pages of other origins. Beside what any client sends, they may send the given headers.
func newCORS(origins []string, headers ...string) (*corsPolicy, error) {
	if err := checkCORS(origins); err != nil {
		return nil, err
	}
	options := cors.Options{
		AllowedOrigins:   origins,
		AllowedMethods:   []string{http.MethodGet, http.MethodHead, http.MethodPost, "QUERY"},
		AllowedHeaders:   append(headers, "Last-Event-ID", "Cache-Control", "Content-Type", "Authorization"),
		AllowCredentials: !slices.Contains(origins, "*"),
		MaxAge:           600,
	}
	if len(origins) == 0 {
		// The library would take an empty list for every origin.
		options.AllowOriginFunc = func(string) bool { return false }
	}
	return &corsPolicy{cors.New(options)}, nil
}

// handle sets the response's CORS headers, which therefore stand on errors too, and answers a preflight
// request (done). A page of an origin that may not subscribe is a problem.
func (c *corsPolicy) handle(w http.ResponseWriter, r *http.Request) (done bool, p *problem.Problem) {
	if origins := r.Header["Origin"]; len(origins) > 0 {
		if len(origins[0]) > maxOrigin { // it is kept for as long as the stream lives
			w.Header().Add("Vary", "Origin")
			return false, problem.New(http.StatusForbidden, "the Origin is longer than %d bytes", maxOrigin)
		}
		if len(origins) > 1 || !c.cors.OriginAllowed(r) && !isOwnOrigin(r) {
			w.Header().Add("Vary", "Origin")
			return false, problem.New(http.StatusForbidden, "pages of this origin may not subscribe here (cors_origins)")
		}
	}
	c.cors.HandlerFunc(w, r)
	return r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "", nil
}

// allows reports whether pages of an origin other than the request's own may subscribe.
func (c *corsPolicy) allows(origin string) bool {
	return c.cors.OriginAllowed(&http.Request{Header: http.Header{"Origin": {origin}}})
}

// isOwnOrigin reports whether the one Origin of a request is its own: that of its host, or, where a proxy in front has
// rewritten the host, whatever the browser calls same-origin.
func isOwnOrigin(r *http.Request) bool {
	origins := r.Header["Origin"]
	return len(origins) == 1 && (ownOrigin(origins[0], r.Host) || isSameOrigin(r))
}

// ownOrigin reports whether an origin is that of the host a request is for. The scheme does not count, since a proxy in
// front may have ended TLS.
func ownOrigin(origin, host string) bool {
	u, err := url.Parse(origin)
	if err != nil || defaultPorts[u.Scheme] == "" {
		return false
	}
	own := url.URL{Host: host}
	port, ownPort := u.Port(), own.Port()
	if port == "" {
		port = defaultPorts[u.Scheme]
	}
	if ownPort == "" {
		ownPort = defaultPorts[u.Scheme]
	}
	return port == ownPort && u.Hostname() != "" && strings.EqualFold(u.Hostname(), own.Hostname())
}
