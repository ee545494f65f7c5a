package subscribe

import (
	"net/http"
	"slices"
	"strings"

	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/identity"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/request"
	"github.com/sse-push/caddy-sse-push/internal/rules"
	"github.com/sse-push/caddy-sse-push/internal/stream"
)

// streamMethods are the methods that a stream can be asked for by.
var streamMethods = []string{http.MethodGet, http.MethodHead, http.MethodPost, "QUERY"}

// allowed are the methods that the route answers.
var allowed = []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPost, "QUERY"}

// IsStreamMethod reports whether a stream can be asked for by a method.
func IsStreamMethod(method string) bool { return slices.Contains(streamMethods, method) }

// ServeHTTP identifies the client, reads what it asks for, and holds the stream.
func (route *Route) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if conn, src, timing := route.admit(w, r); conn != nil {
		route.HoldAs(w, r, conn, Pulse(r, src, timing), timing)
	}
}

// admit answers requests that get no stream, and returns the connection of one that does, with what stands between the two. It is
// not part of ServeHTTP, so that a stream does not keep its stack.
func (route *Route) admit(w http.ResponseWriter, r *http.Request) (*hub.Conn, stream.Source, *stream.Timing) {
	sub, id, ok := route.Ask(w, r)
	if !ok {
		return nil, nil, nil
	}
	open, err := route.Opener(r)
	if open != nil {
		return open(w, r, route, id, sub)
	}
	var conn *hub.Conn
	var timing *stream.Timing
	if err == nil {
		conn, timing, err = route.Begin(r, id, sub)
	}
	if err != nil {
		route.Reject(w, r, err)
		return nil, nil, nil
	}
	return conn, conn, timing
}

// Ask answers requests that get no stream. It returns what one that does asks for, and the client.
func (route *Route) Ask(w http.ResponseWriter, r *http.Request) (sub hub.Subscription, id identity.Identity, ok bool) {
	if route.Screen(w, r) {
		return sub, id, false
	}
	if r.Method == http.MethodOptions {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		w.WriteHeader(http.StatusNoContent)
		return sub, id, false
	}
	if !IsStreamMethod(r.Method) {
		problem.MethodNotAllowed(allowed...).Write(w)
		return sub, id, false
	}
	sub = route.NewSubscription(r) // before the body is read
	id, p := route.subscription(w, r, &sub)
	if p != nil {
		if p.Again != "" {
			route.Reject(w, r, Temporary(p))
			return sub, id, false
		}
		p.Write(w)
		return sub, id, false
	}
	if r.Method == http.MethodHead {
		route.Probe(w, r, id.User)
		return sub, id, false
	}
	return sub, id, true
}

// Probe answers a HEAD of an identified client with the status that a GET would get.
func (route *Route) Probe(w http.ResponseWriter, r *http.Request, user string) {
	if h, err := route.hub.Get(r.Context()); err == nil && h.Denied(user) {
		route.Reject(w, r, hub.ErrDenied)
		return
	}
	stream.SetHeaders(w)
	w.WriteHeader(http.StatusOK)
}

// NewSubscription returns the subscription that a request asks for, without its parameters and its user. It must be called before
// the client is identified: what is revoked from the user from then on is revoked from this client as well.
func (route *Route) NewSubscription(r *http.Request) hub.Subscription {
	sub := hub.Subscription{
		Arrived: route.hub.Arrived(),
		Retry:   jitter(route.retryMin, route.retryMax), Protocol: uint8(r.ProtoMajor), Old: !r.ProtoAtLeast(1, 1),
	}
	sub.Remote, sub.Address = request.ClientAddress(r)
	return sub
}

// subscription reads and checks what a client asks for, and identifies the client.
func (route *Route) subscription(w http.ResponseWriter, r *http.Request, sub *hub.Subscription) (id identity.Identity, p *problem.Problem) {
	enter := func() *problem.Problem {
		if err := route.Enter(r, sub.Address); err != nil {
			return comeAgain(err)
		}
		return nil
	}
	if r.ContentLength != 0 { // before the body is waited for
		if p := enter(); p != nil {
			return id, p
		}
		enter = nil
	}
	params, p := request.Params(w, r)
	if p != nil {
		return id, p
	}
	sub.Topics = params["topic"]
	if len(sub.Topics) > identity.MaxTopics {
		return id, problem.Field("topic", "at most %d may be given, got %d", identity.MaxTopics, len(sub.Topics))
	}
	for _, t := range sub.Topics {
		if err := rules.CheckPattern(t); err != nil {
			return id, problem.Field("topic", "%v", err)
		}
	}
	if p = ReadResume(sub, r.Header, params); p != nil {
		return id, p
	}
	id, p = route.chain.Identify(r, params, enter)
	if p != nil {
		return id, p
	}
	for _, t := range sub.Topics {
		if !id.Granted(t) {
			return id, problem.New(http.StatusForbidden, "the topic %q is not granted", problem.Clip(t)).OfField("topic")
		}
	}
	return id, nil
}
