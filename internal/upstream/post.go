package upstream

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

// IsPost reports whether a request is a POST, or the preflight request of one. Preflights of other methods go to the app, as
// requests with those methods do.
func IsPost(r *http.Request) bool {
	return r.Method == http.MethodPost ||
		r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") == http.MethodPost
}

// PostsTo returns the id of the connection that a URL names; "" if it names none.
func (a *App) PostsTo(u *url.URL) string {
	id, ok := strings.CutPrefix(u.Path, a.route.Path()+"/")
	if !ok || rules.CheckConnection(id) != nil {
		return ""
	}
	return id
}

// Post passes on what a page posts to its own connection, with X-SSE-User and X-SSE-Connection, so that the app knows who
// posts. own is the URL that names the connection.
func (a *App) Post(w http.ResponseWriter, r *http.Request, own *url.URL, next caddyhttp.Handler) error {
	both := newAppRequest(r, own)
	answered, p := a.route.HandleCORS(w, both.onRoute)
	if answered {
		return nil
	}
	if p == nil && !a.isOwnPage(both.onRoute) {
		p = problem.New(http.StatusForbidden, "send the Origin of this host, or one of cors_origins: other pages may not post here")
	}
	var user string
	id := a.PostsTo(own)
	if p == nil {
		user, p = a.poster(both.onRoute, id)
	}
	if p != nil {
		if p.Again != "" {
			p.Status, p.Title = http.StatusServiceUnavailable, http.StatusText(http.StatusServiceUnavailable)
		}
		p.Write(w)
		return nil
	}
	stripRequest(both.toApp)
	both.toApp.Header.Set("X-SSE-Connection", id)
	if user != "" {
		both.toApp.Header.Set("X-SSE-User", user)
	}
	return a.forward(w, both.toApp, next)
}

// isOwnPage reports whether a page of this host, or of a listed origin, sends a request. A cookie is no proof of that, since a
// browser adds it to what any page posts; but the browser also names the page. `*` lists no origin.
func (a *App) isOwnPage(r *http.Request) bool {
	if origins := r.Header["Origin"]; len(origins) > 0 {
		return request.IsOwnOrigin(r) || len(origins) == 1 && slices.Contains(a.origins, origins[0])
	}
	return request.IsSameOrigin(r)
}

// poster returns the user that posts to a connection. The connection must be the user's and open; one that another node may
// hold must at least be the user's.
func (a *App) poster(r *http.Request, id string) (string, *problem.Problem) {
	caller, p := a.route.Identify(r)
	if p != nil {
		return "", p
	}
	theHub, err := a.hub.Get(r.Context())
	if err != nil {
		return "", problem.RetryLater(http.StatusServiceUnavailable, 0, "%v", err)
	}
	if theHub.Denied(caller.User) {
		return "", problem.New(http.StatusForbidden, "the user is refused for some time")
	}
	if strings.Trim(caller.User, " ") != caller.User {
		return "", problem.New(http.StatusForbidden, "the user's name begins or ends with a space, which no header can hold")
	}
	if theHub.Owns(id, a.route.Path(), caller.User) {
		return caller.User, nil
	}
	return "", problem.NoConnection(id) // the same answer whether it exists or not, so that guessing is no use
}
