package mercure

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/identity"
	"github.com/sse-push/caddy-sse-push/internal/matcher"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/request"
	"github.com/sse-push/caddy-sse-push/internal/stream"
	"github.com/sse-push/caddy-sse-push/internal/subscribe"
	"github.com/sse-push/caddy-sse-push/mercure/internal/access"
	"github.com/sse-push/caddy-sse-push/mercure/internal/subscription"
)

// subscribe holds the stream of a subscriber.
func (e *endpoint) subscribe(w http.ResponseWriter, r *http.Request) {
	if conn, timing := e.admit(w, r); conn != nil {
		e.route.Hold(w, r, conn, timing)
	}
}

// admit answers requests that get no stream, and returns the connection of one that does. It is not part of subscribe, so that a
// stream does not keep its stack.
func (e *endpoint) admit(w http.ResponseWriter, r *http.Request) (*hub.Conn, *stream.Timing) {
	sub := e.route.NewSubscription(r)
	if err := e.route.Enter(r, sub.Address); err != nil {
		e.route.Reject(w, r, err)
		return nil, nil
	}
	a, p := e.ask(w, r, sub.Address)
	switch {
	case p != nil && p.Again != "":
		e.route.Reject(w, r, subscribe.Temporary(p))
		return nil, nil
	case p != nil:
		e.refuse(w, a.version, p)
		return nil, nil
	case r.Method == http.MethodHead:
		stream.SetHeaders(w)
		w.WriteHeader(http.StatusOK)
		return nil, nil
	}
	sub.Matchers, sub.LastEventID = a.matchers(), a.lastEventID
	begun, failed := e.tell(r, &a, sub.Matchers)
	conn, timing, err := e.route.Begin(r, identity.Identity{Grant: a.grant.Proof()}, sub)
	if err != nil {
		failed()
		e.route.Reject(w, r, err)
		return nil, nil
	}
	begun()
	if a.lastEventID != "" {
		tellResumed(w.Header(), a.lastEventID, sub.Matchers.Exact)
	}
	return conn, timing
}

// asked is what a subscriber asks for.
type asked struct {
	version     access.Version
	topics      *matcher.Set
	lastEventID string
	grant       *access.Grant // nil for a client without a token
}

// tell has what a subscriber would hear of others' subscriptions told, and returns what is to be called when its stream has begun, or has
// not.
func (e *endpoint) tell(r *http.Request, a *asked, m *hub.Matchers) (begun, failed func()) {
	nothing := func() {}
	if !e.tellsSubscriptions {
		return nothing, nothing
	}
	theHub, err := e.hub.Get(r.Context())
	if err != nil { // so it will be for the stream
		return nothing, nothing
	}
	registry := subscription.Of(theHub, e.path, e.base)
	if registry == nil {
		return nothing, nothing
	}
	s, unsure := registry.Enter(a.version, a.topics, a.grant)
	m.Size, m.Unsure = m.Size+s.Size(), unsure
	leave := sync.OnceFunc(func() { registry.Leave(s) }) // a stream that is over a limit ends before it has begun
	m.Ended = leave
	return func() { registry.Open(s) }, leave
}

// ask reads and checks what a subscriber of an address asks for, and its token. The token comes before the matchers, which take long to
// compile.
func (e *endpoint) ask(w http.ResponseWriter, r *http.Request, address string) (a asked, p *problem.Problem) {
	a.version = e.keys.Newest()
	params, p := request.Params(w, r)
	if p != nil {
		return a, p
	}
	if a.version, p = e.askedVersion(params); p != nil {
		return a, p
	}
	if a.grant, p = e.subscriber(r, a.version, r.URL.Query()); p != nil {
		return a, p
	}
	if ids := subscribe.LastEventIDs(r.Header, params); len(ids) > 0 {
		a.lastEventID = ids[0]
	}
	a.topics, p = e.inTurn(r.Context(), address, func() (*matcher.Set, *problem.Problem) { return e.askedTopics(a, params) })
	return a, p
}

// matchParams are the parameters of version 1.0 that hold topic matchers, with their types.
var matchParams = []struct{ name, kind string }{{"match", "exact"}, {"match_exact", "exact"}, {"match_urlpattern", "urlpattern"}}

// isMatchParam reports whether the name of a parameter is one that version 1.0 keeps for matchers: it begins with match, in either case. So
// a name that is misspelled is refused, and not left out in silence.
func isMatchParam(name string) bool {
	const begin = "match"
	return len(name) >= len(begin) && strings.EqualFold(name[:len(begin)], begin)
}

// askedVersion returns the version that a subscriber speaks: 0.x knows the parameter topic, 1.0 those that begin with match.
func (e *endpoint) askedVersion(params url.Values) (access.Version, *problem.Problem) {
	legacy, modern := params.Has("topic"), false
	for name := range params {
		if isMatchParam(name) {
			modern = true
			if !slices.ContainsFunc(matchParams, func(known struct{ name, kind string }) bool { return known.name == name }) {
				return e.keys.Newest(), e.invalidRequest("of the parameters that begin with match, in either case, the hub knows match, match_exact and match_urlpattern")
			}
		}
	}
	v := access.V0
	switch {
	case legacy && modern:
		return e.keys.Newest(), e.invalidRequest("topic and match are of different versions of the protocol, and cannot be given together")
	case !legacy && !modern && e.keys.Newest() == access.V0:
		return access.V0, e.invalidRequest("topic is missing")
	case !legacy && !modern:
		return access.V1, e.invalidRequest("match is missing")
	case modern:
		v = access.V1
	}
	if !e.keys.Speaks(v) {
		return e.keys.Newest(), e.invalidRequest("the hub does not speak this version of the protocol")
	}
	return v, nil
}

// tellResumed sets the headers that say what comes before the first event of a stream: the event whose id was asked for, or nothing
// that the hub has.
func tellResumed(h http.Header, id string, exact bool) {
	if !exact {
		id = "earliest"
	}
	h.Set("Last-Event-ID", id)
	h.Set("Mercure-Last-Event-ID", id)
}
