package ssepush

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/identity"
	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/request"
	"github.com/sse-push/caddy-sse-push/internal/rules"
	"github.com/sse-push/caddy-sse-push/internal/sse"
	"github.com/sse-push/caddy-sse-push/internal/stream"
)

// serve answers the subscribe route: it finds out who asks and for what, and holds the stream.
func (s *streamRoute) serve(w http.ResponseWriter, r *http.Request) {
	if conn, timing := s.admit(w, r); conn != nil {
		s.hold(w, r, conn, timing)
	}
}

// screen answers what may not subscribe, whoever the client is: preflights, pages of other origins, a question that has come
// back. It reports whether it has answered.
func (s *streamRoute) screen(w http.ResponseWriter, r *http.Request) (answered bool) {
	if identity.IsQuestion(r) {
		problem.New(http.StatusLoopDetected, "who a client is cannot be asked here").Write(w)
		return true
	}
	answered, p := s.cors.Handle(w, r)
	if answered {
		return true
	}
	if p == nil {
		p = request.CheckEmbedded(r)
	}
	if p != nil {
		p.Write(w)
	}
	return p != nil
}

// admit answers requests that get no stream, and returns the connection of one that does. It is a function of its own, so
// that a stream does not keep its stack.
func (s *streamRoute) admit(w http.ResponseWriter, r *http.Request) (*hub.Conn, *stream.Timing) {
	if s.screen(w, r) {
		return nil, nil
	}
	var sub hub.Subscription
	var id identity.Identity
	var p *problem.Problem
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, "QUERY":
		sub = s.asked(r) // before the body is read
		id, p = s.subscription(w, r, &sub)
	case http.MethodOptions:
		w.Header().Set("Allow", strings.Join(subscribeMethods, ", "))
		w.WriteHeader(http.StatusNoContent)
		return nil, nil
	default:
		p = problem.MethodNotAllowed(subscribeMethods...)
	}
	if p != nil {
		if p.Again != "" {
			s.reject(w, r, cmp.Or[error](p.Cause, &hub.Refusal{Reason: p.Again, Again: p.After}))
			return nil, nil
		}
		p.Write(w)
		return nil, nil
	}
	if r.Method == http.MethodHead {
		setStreamHeaders(w)
		w.WriteHeader(http.StatusOK)
		return nil, nil
	}
	conn, timing, err := s.begin(r, id, sub)
	if err != nil {
		s.reject(w, r, err)
		return nil, nil
	}
	return conn, timing
}

// begin subscribes a client, and returns what its stream is written from.
func (s *streamRoute) begin(r *http.Request, id identity.Identity, sub hub.Subscription) (*hub.Conn, *stream.Timing, error) {
	sub.User = id.User
	return s.hub.Admit(r.Context(), s, s.arrivalOf(r, id), sub)
}

// hold serves a stream: until it ends, or takes the request's connection over and returns at once.
func (s *streamRoute) hold(w http.ResponseWriter, r *http.Request, conn *hub.Conn, timing *stream.Timing) {
	setStreamHeaders(w)
	c, _ := r.Context().Value(connKey{}).(net.Conn)
	if c != nil {
		conn.SetHeld(true) // before, as afterwards it may be over already
		taken, err := stream.Hold(w, r, c, conn, timing)
		if taken {
			return
		}
		if err != nil {
			s.warnScarce(err)
		}
		conn.SetHeld(false)
	}
	request.LiftTimeouts(w, r)
	stream.Serve(r.Context(), w, c, conn, timing)
}

// streamMethods are those that a stream is asked for by.
var streamMethods = []string{http.MethodGet, http.MethodHead, http.MethodPost, "QUERY"}

var subscribeMethods = []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPost, "QUERY"}

// asked returns what every subscription takes from its request. It is called before the client is identified: from then
// on, what is revoked from the user is revoked from this client as well.
func (s *streamRoute) asked(r *http.Request) hub.Subscription {
	sub := hub.Subscription{
		Arrived: s.hub.Arrived(),
		Retry:   jitter(s.retryMin, s.retryMax), Protocol: uint8(r.ProtoMajor), Old: !r.ProtoAtLeast(1, 1),
	}
	sub.Remote, sub.Address = request.ClientAddress(r)
	return sub
}

// subscription reads and checks all that a client asks for.
func (s *streamRoute) subscription(w http.ResponseWriter, r *http.Request, sub *hub.Subscription) (id identity.Identity, p *problem.Problem) {
	enter := func() *problem.Problem {
		if err := s.arrive(r); err != nil {
			return comeAgain(err)
		}
		return nil
	}
	if r.ContentLength != 0 { // before it is waited for
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
	if p = since(sub, r.Header, params); p != nil {
		return id, p
	}
	id, p = s.chain.Identify(r, params, enter)
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

// since reads where a stream is to begin, and what the client calls itself.
func since(sub *hub.Subscription, header http.Header, params url.Values) *problem.Problem {
	if client, ok := params["client"]; ok {
		if err := pool.CheckClient(client); err != nil {
			return problem.Field("client", "%v", err)
		}
		sub.ID = client[0]
	}
	if ids := lastEventIDs(header, params); len(ids) > 0 {
		sub.LastEventID, sub.OtherIDs = ids[0], ids[1:]
	}
	if text := params.Get("replay"); text != "" {
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return problem.Field("replay", "must be a whole number, got %q", problem.Clip(text))
		}
		sub.Replay = int(n)
	}
	return nil
}

// reject sends a client off that may come again: an EventSource by a stream that says so and ends, since it
// would give up for good at any status but 200.
func (s *streamRoute) reject(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil { // the client has left: nobody is there to be told, and nothing was wrong
		return
	}
	if errors.Is(err, hub.ErrDenied) { // an EventSource does not come again
		s.hub.Rejected("denied")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	reason := "broker"
	var refusal *hub.Refusal
	if errors.As(err, &refusal) {
		reason = refusal.Reason
	}
	if c := s.log.Check(zap.DebugLevel, "connection rejected"); c != nil {
		c.Write(zap.String("reason", reason), zap.Error(err))
	}
	s.hub.Rejected(reason)
	retry := jitter(s.retryMax, 5*s.retryMax)
	switch {
	case refusal == nil:
	case refusal.Latest > 0:
		retry = jitter(refusal.Again, refusal.Latest)
	case refusal.Again > 0:
		retry = refusal.Again + jitter(s.retryMin, s.retryMax)
	}
	if !strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		problem.RetryLater(http.StatusServiceUnavailable, retry, "no stream just now (%s)", reason).Write(w)
		return
	}
	setStreamHeaders(w)
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(sse.Event{Type: "sse:rejected", Retry: retry, Data: fmt.Appendf(nil, `{"reason":%q}`, reason)}.Append(nil))
}

// setStreamHeaders says what a stream is to all that could buffer, compress, change or cache it on its way.
func setStreamHeaders(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("X-Accel-Buffering", "no")
}

// jitter is a random time of whole milliseconds between two.
func jitter(shortest, longest time.Duration) time.Duration {
	d := shortest + time.Duration(rand.Int64N(int64(longest-shortest)+1))
	return d.Truncate(time.Millisecond)
}
