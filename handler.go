package ssepush

import (
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/request"
)

// ServeHTTP answers what belongs to the subscribe route, the internal route or the inspector, and passes all else on.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	asIs := r
	own, r := h.route(r)
	switch own {
	case subscribeRoute:
		if h.Upstream && slices.Contains(streamMethods, r.Method) {
			return h.serveUpstream(w, r, asIs, next)
		}
		h.stream.serve(w, r)
		return nil
	case internalRoute:
		return h.serveInternal(w, r)
	case twoWayRoute:
		return h.serveTwoWay(w, r, asIs, next)
	case inspectorRoute:
		return h.inspector.Serve(w, r)
	}
	return h.passOn(w, r, next)
}

const (
	noRoute = iota
	subscribeRoute
	internalRoute
	twoWayRoute
	inspectorRoute
)

// route says which route a request belongs to, and returns it with the URL that says so. It is apart since it needs
// much of the stack, and a stream over HTTP/2 keeps what it began on.
func (h *Handler) route(r *http.Request) (int, *http.Request) {
	// A site-wide try_files or rewrite runs before, so the path that the client sent counts as well.
	urls := []*url.URL{r.URL}
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		urls = append(urls, original.URL)
	}
	if h.Internal != nil {
		for _, u := range urls {
			// Cleaned as well as as it stands: who comes behind may see either.
			if request.IsBelow(u.Path, h.Internal.Prefix) || request.IsBelow(path.Clean("/"+u.Path), h.Internal.Prefix) {
				return internalRoute, withURL(r, u)
			}
		}
	}
	if h.Inspector != nil {
		for _, u := range urls {
			if request.IsBelow(u.Path, h.Inspector.Path) || request.IsBelow(path.Clean("/"+u.Path), h.Inspector.Path) {
				return inspectorRoute, withURL(r, u)
			}
		}
	}
	if h.Path != "" {
		for _, u := range urls {
			if u.Path == h.Path {
				return subscribeRoute, withURL(r, u)
			}
		}
		if h.TwoWay && isPost(r) {
			for _, u := range urls {
				if h.postsTo(u) != "" {
					return twoWayRoute, withURL(r, u)
				}
			}
		}
	}
	return noRoute, r
}

// withURL is the request with another URL: a rewrite may have changed the query as well.
func withURL(r *http.Request, u *url.URL) *http.Request {
	if u == r.URL {
		return r
	}
	r = r.WithContext(r.Context())
	r.URL = u
	return r
}

// serveInternal answers everything below the internal prefix: nothing of it is passed on.
func (h *Handler) serveInternal(w http.ResponseWriter, r *http.Request) error {
	if p := h.guard.Check(r); p != nil {
		if p.Status == http.StatusNotFound {
			// As the site answers for any other path, so that the route cannot be probed.
			return caddyhttp.Error(http.StatusNotFound, nil)
		}
		p.Write(w)
		return nil
	}
	// Only the path as it is written reaches a route; other spellings of the prefix lead nowhere.
	call, ok := strings.CutPrefix(r.URL.Path, strings.TrimSuffix(h.Internal.Prefix, "/")+"/")
	if !ok {
		problem.New(http.StatusNotFound, "there is no %s", path.Clean(r.URL.Path)).Write(w)
		return nil
	}
	hub, err := h.hub.Get(r.Context())
	if err != nil {
		problem.RetryLater(http.StatusServiceUnavailable, 0, "%v", err).Write(w)
		return nil
	}
	Serve(w, r, hub, Call{Path: call, Escaped: request.EscapedBelow(r.URL, len(r.URL.Path)-len(call)), Log: h.log})
	return nil
}
