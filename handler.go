package ssepush

import (
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-push/caddy-sse-push/internal/api"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/request"
	"github.com/sse-push/caddy-sse-push/internal/subscribe"
	"github.com/sse-push/caddy-sse-push/internal/upstream"
)

// ServeHTTP hands a request to the part of the handler whose route it belongs to, and passes all others on.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if p, own := h.protocols.of(r); p != nil {
		p.ServeHTTP(w, request.WithURL(r, own))
		return nil
	}
	route, own := h.route(r)
	switch route {
	case subscribeRoute:
		switch {
		case h.source != nil && !h.source.Takes(r): // it is the app's
		case h.source != nil:
			return h.source.Serve(w, r, own, caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
				return h.passOn(w, r, next)
			}))
		case h.Upstream && subscribe.IsStreamMethod(r.Method):
			return h.upstream.Subscribe(w, r, own, next)
		default:
			h.subscribe.ServeHTTP(w, request.WithURL(r, own))
			return nil
		}
	case internalRoute:
		return h.serveInternal(w, request.WithURL(r, own))
	case twoWayRoute:
		return h.upstream.Post(w, r, own, next)
	case inspectorRoute:
		return h.inspector.Serve(w, request.WithURL(r, own))
	}
	return h.passOn(w, r, next)
}

// passOn passes on a request that no route answers.
func (h *Handler) passOn(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if h.upstream == nil {
		return next.ServeHTTP(w, r)
	}
	return h.upstream.PassOn(w, r, next)
}

const (
	noRoute = iota
	subscribeRoute
	internalRoute
	twoWayRoute
	inspectorRoute
)

// route returns the route that a request belongs to, and the URL that matched it. It is not part of ServeHTTP, since it needs much
// of the stack, which a stream over HTTP/2 would keep.
func (h *Handler) route(r *http.Request) (int, *url.URL) {
	urls := request.URLs(r)
	if h.Internal != nil {
		for _, u := range urls {
			if request.URLIsBelow(u, h.Internal.Prefix) {
				return internalRoute, u
			}
		}
	}
	if h.Inspector != nil {
		for _, u := range urls {
			if request.URLIsBelow(u, h.Inspector.Path) {
				return inspectorRoute, u
			}
		}
	}
	if h.Path != "" {
		for _, u := range urls {
			if u.Path == h.Path {
				return subscribeRoute, u
			}
		}
		if h.TwoWay && upstream.IsPost(r) {
			for _, u := range urls {
				if h.upstream.PostsTo(u) != "" {
					return twoWayRoute, u
				}
			}
		}
	}
	return noRoute, r.URL
}

// Answers implements reach.Owner.
func (h *Handler) Answers(path string) bool {
	r := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: path}}
	if p, _ := h.protocols.of(r); p != nil {
		return true
	}
	route, _ := h.route(r)
	return route != noRoute && (route != subscribeRoute || h.source == nil && !h.Upstream)
}

// serveInternal answers every request below the internal prefix, and passes none on.
func (h *Handler) serveInternal(w http.ResponseWriter, r *http.Request) error {
	if p := h.guard.Check(r); p != nil {
		if p.Status == http.StatusNotFound {
			// As for any unknown path of the site, so that the route cannot be probed.
			return caddyhttp.Error(http.StatusNotFound, nil)
		}
		p.Write(w)
		return nil
	}
	// Only the prefix as configured leads to a call. Other spellings of it are answered here too, with 404.
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
	if h.relays.Answer(w, r, hub, call) {
		return nil
	}
	api.Serve(w, r, hub, api.Call{Path: call, Escaped: request.EscapedBelow(r.URL, len(r.URL.Path)-len(call)), Log: h.log})
	return nil
}
