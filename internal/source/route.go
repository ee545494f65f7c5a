package source

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/request"
	"github.com/sse-push/caddy-sse-push/internal/stream"
	"github.com/sse-push/caddy-sse-push/internal/subscribe"
)

// Config is what a Route is made of.
type Config struct {
	Settings   Settings                    // with their defaults filled in
	Route      *subscribe.Route            // the directive's subscribe route
	Handler    caddyhttp.MiddlewareHandler // the directive
	Server     *caddyhttp.Server           // that it belongs to; nil if there is none
	Hub        *pool.Ref
	Log        *zap.Logger
	Complaints *problem.Complaints
}

// Route is a subscribe route that shares streams of the app.
type Route struct {
	*subscribe.Route
	terms terms
	hub   *pool.Ref
}

// New returns a route of a hub, and adds it to the hub's routes.
func New(c Config) *Route {
	route := &Route{Route: c.Route, hub: c.Hub, terms: terms{
		settings: c.Settings, path: c.Route.Path(), server: c.Server, log: c.Log, complaints: c.Complaints,
	}}
	t := &route.terms
	t.place = sync.OnceValue(func() string { return t.placeOf(c.Handler) })
	before := termsOf(c.Hub.Routes())
	t.index = sync.OnceValue(func() int { return sizesOf(before)[t.place()] })
	c.Hub.AddRoute(route)
	return route
}

// Takes reports whether a request is for the route: a GET that asks for an event stream, or the preflight request of one. All others
// are for the app.
func (route *Route) Takes(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet:
		return acceptsStream(r.Header["Accept"])
	case http.MethodOptions:
		return r.Header.Get("Access-Control-Request-Method") == http.MethodGet
	}
	return false
}

// acceptsStream reports whether one of the media types that a client accepts is that of an event stream. A wildcard is not.
func acceptsStream(lines []string) bool {
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ",") {
			if kind, _, _ := strings.Cut(part, ";"); strings.EqualFold(strings.TrimSpace(kind), "text/event-stream") {
				return true
			}
		}
	}
	return false
}

// Serve has a client listen to the source that its request belongs to, and starts the source if there is none. own is the URL by which
// the request belongs to the route; next are the handlers that lead to the app.
func (route *Route) Serve(w http.ResponseWriter, r *http.Request, own *url.URL, next caddyhttp.Handler) error {
	if p, ok := r.Context().Value(passKey{}).(*pass); ok {
		if p.terms == nil {
			p.terms = &route.terms
		}
		return next.ServeHTTP(w, r)
	}
	conn, timing, err := route.admit(w, r, request.WithURL(r, own), next)
	if conn != nil {
		route.Hold(w, r, conn, timing)
	}
	return err
}

// admit answers requests that get no stream of a source, and returns the connection of one that does. It is not part of Serve, so
// that a stream does not keep its stack. r is the request as the app gets it, onRoute the same with the URL of the route.
func (route *Route) admit(w http.ResponseWriter, r, onRoute *http.Request, next caddyhttp.Handler) (*hub.Conn, *stream.Timing, error) {
	if route.Screen(w, onRoute) {
		return nil, nil, nil
	}
	sub := route.NewSubscription(onRoute)
	if err := route.Enter(onRoute, sub.Address); err != nil {
		route.Reject(w, onRoute, err)
		return nil, nil, nil
	}
	id, p := route.Identify(onRoute)
	if p != nil {
		if p.Again != "" {
			route.Reject(w, onRoute, &hub.Refusal{Reason: p.Again, Err: p.Cause, Again: p.After})
			return nil, nil, nil
		}
		p.Write(w)
		return nil, nil, nil
	}
	k, ok := route.terms.keyOf(r, id)
	if !ok {
		return nil, nil, next.ServeHTTP(w, r)
	}
	theHub, err := route.hub.Get(r.Context())
	if err != nil {
		route.Reject(w, onRoute, err)
		return nil, nil, nil
	}
	if theHub.Denied(id.User) { // before the app is asked for anything
		route.Reject(w, onRoute, hub.ErrDenied)
		return nil, nil, nil
	}
	reg := RegistryOf(theHub)
	a := &asker{w: w, outcome: make(chan outcome, 1)}
	s, err := reg.join(k, route.terms.newVisitor(r, next), id, sub.Address, a)
	if err != nil {
		route.Reject(w, onRoute, err)
		return nil, nil, nil
	}
	defer s.leave(a) // once it listens, the hub has its connection
	if route.hub.Superseded() {
		reg.Apply(theHub.Routes()) // it has missed that
	}
	if o := a.await(r.Context()); o.kind != listens {
		return nil, nil, route.decline(w, onRoute, o)
	}
	sub.Topics, sub.Opening = []string{s.id}, s.opening(a)
	if ids := subscribe.LastEventIDs(r.Header, originalOf(r).URL.Query()); len(ids) > 0 {
		sub.LastEventID, sub.OtherIDs = ids[0], ids[1:]
	}
	conn, timing, err := route.BeginBeside(onRoute, s.log, id, sub)
	if err != nil {
		route.Reject(w, onRoute, err)
		return nil, nil, nil
	}
	s.heard(a, conn)
	return conn, timing, nil
}

// decline deals with a client that does not get to listen.
func (route *Route) decline(w http.ResponseWriter, r *http.Request, o outcome) error {
	switch o.kind {
	case rejected:
		route.Reject(w, r, &hub.Refusal{Reason: "source", Again: time.Second, Latest: o.spread})
	case answered:
		if o.aborted {
			panic(http.ErrAbortHandler) // what the client has got is not the whole answer
		}
		return o.err
	}
	return nil
}

// termsOf returns the terms of those routes that share streams.
func termsOf(routes []pool.Route) (list []*terms) {
	for _, route := range routes {
		if r, ok := route.(*Route); ok {
			list = append(list, &r.terms)
		}
	}
	return list
}

// sizesOf returns how many routes are at each place.
func sizesOf(routes []*terms) map[string]int {
	sizes := map[string]int{}
	for _, t := range routes {
		sizes[t.place()]++
	}
	return sizes
}

// Apply implements pool.Resident: a source whose route is gone ends, and the others open their streams by the new config's handlers
// before long. If there are more or fewer routes at a place than before, it is not certain which is which, and its sources end.
func (reg *Registry) Apply(routes []pool.Route) {
	list := termsOf(routes)
	sizes := sizesOf(list)
	reg.mu.Lock()
	before := reg.sizes
	reg.sizes = sizes
	reg.mu.Unlock()
	for _, s := range reg.list() {
		if at := s.place(); sizes[at] != before[at] || !s.follow(list) {
			go s.finish(errGone)
		}
	}
}

// Interface guards.
var (
	_ pool.Route          = (*Route)(nil)
	_ pool.Resident       = (*Registry)(nil)
	_ http.ResponseWriter = (*answer)(nil)
)
