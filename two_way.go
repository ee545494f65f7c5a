package ssepush

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/request"
	"github.com/sse-push/caddy-sse-push/internal/rules"
)

// isPost reports whether a request is a POST, or the preflight request of one. Preflights of other methods are the app's,
// as those methods are.
func isPost(r *http.Request) bool {
	return r.Method == http.MethodPost ||
		r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") == http.MethodPost
}

// postsTo is the connection that a URL names; "" where it is not one of a connection.
func (h *Handler) postsTo(u *url.URL) string {
	id, ok := strings.CutPrefix(u.Path, h.Path+"/")
	if !ok || rules.CheckConnection(id) != nil {
		return ""
	}
	return id
}

// serveTwoWay hands what a page posts to its own connection to the app, with who it is. The app is given the request as it
// is, rewritten or not.
func (h *Handler) serveTwoWay(w http.ResponseWriter, r, asIs *http.Request, next caddyhttp.Handler) error {
	done, p := h.stream.cors.Handle(w, r)
	if done {
		return nil
	}
	if p == nil && !h.isOwnPage(r) {
		p = problem.New(http.StatusForbidden, "send the Origin of this host, or one of cors_origins: other pages may not post here")
	}
	var user string
	id := h.postsTo(r.URL)
	if p == nil {
		user, p = h.poster(r, id)
	}
	if p != nil {
		if p.Again != "" {
			p.Status, p.Title = http.StatusServiceUnavailable, http.StatusText(http.StatusServiceUnavailable)
		}
		p.Write(w)
		return nil
	}
	stripRequest(asIs)
	asIs.Header.Set("X-SSE-Connection", id)
	if user != "" {
		asIs.Header.Set("X-SSE-User", user)
	}
	return h.forward(w, asIs, next)
}

// isOwnPage reports whether a page of this host, or of a listed origin, sends a request. The caller may be known by a cookie,
// which a browser adds to whatever any page has it post; but the browser also says which page that is. `*` lists no origin.
func (h *Handler) isOwnPage(r *http.Request) bool {
	if origins := r.Header["Origin"]; len(origins) > 0 {
		return request.IsOwnOrigin(r) || len(origins) == 1 && slices.Contains(h.CORSOrigins, origins[0])
	}
	return request.IsSameOrigin(r)
}

// poster finds out who posts to a connection, which is to be open, and his. Where it is not open here, but on another node
// perhaps, his it has to be.
func (h *Handler) poster(r *http.Request, id string) (string, *problem.Problem) {
	caller, p := h.chain.Identify(r, nil, nil)
	if p != nil {
		return "", p
	}
	theHub, err := h.hub.Get(r.Context())
	if err != nil {
		return "", problem.RetryLater(http.StatusServiceUnavailable, 0, "%v", err)
	}
	if theHub.Denied(caller.User) {
		return "", problem.New(http.StatusForbidden, "the user is denied for some time")
	}
	if strings.Trim(caller.User, " ") != caller.User {
		return "", problem.New(http.StatusForbidden, "no header can hold a name that begins or ends with a space")
	}
	if theHub.Owns(id, h.Path, caller.User) {
		return caller.User, nil
	}
	return "", problem.NoConnection(id) // whether it is there or another's: a caller that guesses learns nothing
}
