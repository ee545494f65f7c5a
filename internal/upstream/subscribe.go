package upstream

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/identity"
	"github.com/sse-push/caddy-sse-push/internal/instruction"
	"github.com/sse-push/caddy-sse-push/internal/request"
	"github.com/sse-push/caddy-sse-push/internal/stream"
	"github.com/sse-push/caddy-sse-push/internal/subscribe"
)

// errUpstream sends a client off because the app is in trouble, which may pass.
var errUpstream = &hub.Refusal{Reason: "upstream"}

// Subscribe answers a subscribe request as the app says, and holds the stream if the app asks for one. The app's own answer
// ends first, as any other does, so that its worker is free while the stream lasts. own is the URL by which the request belongs
// to the route.
func (a *App) Subscribe(w http.ResponseWriter, r *http.Request, own *url.URL, next caddyhttp.Handler) error {
	both := newAppRequest(r, own)
	conn, src, timing, err := a.admit(w, both, next)
	if conn != nil {
		a.route.HoldAs(w, both.onRoute, conn, subscribe.Pulse(both.onRoute, src, timing), timing)
	}
	return err
}

// admit answers requests that get no stream, and returns the connection of one that does, with what stands between the two. It is
// not part of Subscribe, so that a stream does not keep its stack.
func (a *App) admit(w http.ResponseWriter, r appRequest, next caddyhttp.Handler) (*hub.Conn, stream.Source, *stream.Timing, error) {
	if a.route.Screen(w, r.onRoute) {
		return nil, nil, nil, nil
	}
	open, err := a.route.Opener(r.onRoute)
	if err != nil {
		a.route.Reject(w, r.onRoute, err)
		return nil, nil, nil, nil
	}
	sub, ok := a.subscription(w, r, open != nil)
	if !ok {
		return nil, nil, nil, nil
	}
	answer, err := a.ask(w, r, next)
	if answer == nil {
		return nil, nil, nil, err
	}
	if r.onRoute.Context().Err() != nil { // the client has left: the app has not failed
		return nil, nil, nil, nil
	}
	removeBodyHeaders(w.Header())
	g, ok := a.grant(answer)
	if !ok {
		a.route.Reject(w, r.onRoute, errUpstream)
		return nil, nil, nil, nil
	}
	if r.onRoute.Method == http.MethodHead {
		a.route.Probe(w, r.onRoute, g.User)
		return nil, nil, nil, nil
	}
	id := identity.Identity{User: g.User, Grant: g}
	if open != nil {
		id.Topics = g.Topics
		conn, src, timing := open(w, r.onRoute, a.route, id, sub)
		return conn, src, timing, nil
	}
	if answer.first.over {
		a.complain(zap.WarnLevel, "the app's first events are too large, and some are left out", zap.Int("limit", maxFirstEvents))
	}
	sub.Topics, sub.First = g.Topics, answer.first.frames()
	conn, timing, err := a.route.Begin(r.onRoute, id, sub)
	if err != nil {
		a.route.Reject(w, r.onRoute, err)
		return nil, nil, nil, nil
	}
	return conn, conn, timing, nil
}

// subscription admits a client, and reads from its request where the stream begins. beside says that it is a stream of a companion.
// subscription reports false if it has answered the request itself.
func (a *App) subscription(w http.ResponseWriter, r appRequest, beside bool) (sub hub.Subscription, ok bool) {
	sub = a.route.NewSubscription(r.onRoute)
	if err := a.route.Enter(r.onRoute, sub.Address); err != nil {
		a.route.Reject(w, r.onRoute, err)
		return sub, false
	}
	params, p := request.ParamsForApp(w, r.onRoute, r.toApp)
	if p == nil {
		p = subscribe.ReadResume(&sub, r.onRoute.Header, params)
	}
	if p != nil {
		p.Write(w)
		return sub, false
	}
	if sub.LastEventID != "" || sub.Replay != 0 || beside {
		return sub, true // it is known where the stream begins
	}
	// Otherwise it begins at the present end of the log, so that it has what is published while the app decides.
	position, err := a.hub.Position(r.onRoute.Context())
	if err != nil {
		a.route.Reject(w, r.onRoute, err)
		return sub, false
	}
	sub.LastEventID = position.String()
	return sub, true
}

// appAnswer is the app's answer to a subscribe request that the client does not get.
type appAnswer struct {
	status       int
	header       http.Header
	instructions http.Header
	first        firstEvents
	err          error // the next handler's
}

// ask passes a subscribe request on to the app. It returns nil if the client has got the app's answer: one that asks for no
// stream, unless it is an error at which an EventSource would give up for good.
func (a *App) ask(w http.ResponseWriter, r appRequest, next caddyhttp.Handler) (*appAnswer, error) {
	streams := strings.Contains(r.onRoute.Header.Get("Accept"), "text/event-stream")
	stripRequest(r.toApp)
	r.toApp.Header.Del("Accept-Encoding") // first events must be readable
	answer := &appAnswer{}
	rec := caddyhttp.NewResponseRecorder(w, &answer.first.Buffer, func(status int, header http.Header) bool {
		taken := instruction.Strip(header)
		if status < 200 {
			return false
		}
		switch texts := taken[instruction.Publish]; {
		case len(texts) == 0:
		case a.publish != nil:
			a.publishAnswer(r.onRoute.Context(), texts, status, header)
		case isInner(r.toApp) && instruction.WhyCached(status, header) == "":
			header[instruction.Publish] = texts // for the directive around this one
		}
		answer.status, answer.header, answer.instructions = status, header.Clone(), taken
		return answer.holds() || streams && status >= 500
	})
	err := next.ServeHTTP(bounded{rec, &answer.first}, enclosed(r.toApp))
	if !isInner(r.toApp) {
		instruction.Strip(w.Header()) // of an error, or trailers
	}
	var failure caddyhttp.HandlerError
	switch {
	case streams && rec.Buffered() && errors.As(err, &failure) && failure.StatusCode >= 500:
		answer.status, answer.err = failure.StatusCode, err
	case streams && answer.status >= 500:
	case err != nil || !answer.holds():
		return nil, err
	}
	return answer, nil
}

// holds reports whether the app asks for a stream.
func (a *appAnswer) holds() bool {
	return a.status == http.StatusOK && a.instructions.Get(instruction.Hold) == "stream"
}

// grant returns what the app's answer grants the client. It reports false, and logs the reason, if the answer is an error, comes
// from a cache, or cannot be read.
func (a *App) grant(answer *appAnswer) (*identity.Grant, bool) {
	if !answer.holds() {
		a.complain(zap.WarnLevel, "the app behind the subscribe route failed", zap.Int("status", answer.status), zap.Error(answer.err))
		return nil, false
	}
	if reason := instruction.WhyCached(answer.status, answer.header); reason != "" {
		a.complain(zap.WarnLevel, "X-SSE-Hold is ignored: "+reason)
		return nil, false
	}
	g, err := identity.ReadAnswer(answer.instructions)
	if err != nil {
		a.complain(zap.ErrorLevel, "the app's answer to a subscribe request cannot be read", zap.Error(err))
		return nil, false
	}
	return g, true
}

// removeBodyHeaders removes the headers of an answer that describe its body, since the client gets another one.
func removeBodyHeaders(h http.Header) {
	for _, name := range []string{
		"Content-Length", "Transfer-Encoding", "Content-Encoding", "Content-Type", "Etag", "Last-Modified", "Accept-Ranges", "Trailer",
		"Status", "Retry-After", "Age",
	} {
		h.Del(name)
	}
	maps.DeleteFunc(h, func(name string, _ []string) bool { return strings.HasPrefix(name, http.TrailerPrefix) })
}
