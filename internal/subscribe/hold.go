package subscribe

import (
	"context"
	"net"
	"net/http"

	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/identity"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/request"
	"github.com/sse-push/caddy-sse-push/internal/stream"
)

// connKey is the context key of the net.Conn that a request came by.
type connKey struct{}

// WithConn returns a context that holds the connection of a server's requests, which a stream may take over.
func WithConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// Begin subscribes a client, and returns its connection and the timing of its stream.
func (route *Route) Begin(r *http.Request, id identity.Identity, sub hub.Subscription) (*hub.Conn, *stream.Timing, error) {
	sub.User = id.User
	return route.hub.Admit(r.Context(), route, route.arrival(r, id), sub)
}

// BeginBeside is Begin in a companion of the route's hub, which is open.
func (route *Route) BeginBeside(r *http.Request, to *hub.Hub, id identity.Identity, sub hub.Subscription) (*hub.Conn, *stream.Timing, error) {
	sub.User = id.User
	return route.hub.AdmitBeside(r.Context(), to, route, route.arrival(r, id), sub)
}

// Hold serves a stream. It returns when the stream ends, or at once if it could take over the request's connection.
func (route *Route) Hold(w http.ResponseWriter, r *http.Request, conn *hub.Conn, timing *stream.Timing) {
	route.HoldAs(w, r, conn, conn, timing)
}

// HoldAs is Hold with a source that stands between the connection and its stream.
func (route *Route) HoldAs(w http.ResponseWriter, r *http.Request, conn *hub.Conn, src stream.Source, timing *stream.Timing) {
	stream.SetHeaders(w)
	c, _ := r.Context().Value(connKey{}).(net.Conn)
	if c != nil || r.ProtoMajor == 3 {
		conn.SetHeld(true) // before the stream is held, as it may be over afterwards
		taken, err := stream.Hold(w, r, c, src, timing)
		if taken {
			return
		}
		if err != nil {
			route.warnScarce(err)
		}
		conn.SetHeld(false)
	}
	route.Serve(w, r, src, timing)
}

// Serve serves a stream on the goroutine that calls it. w's headers are set.
func (route *Route) Serve(w http.ResponseWriter, r *http.Request, src stream.Source, timing *stream.Timing) {
	c, _ := r.Context().Value(connKey{}).(net.Conn)
	request.LiftTimeouts(w, r)
	stream.Serve(r.Context(), w, c, src, timing)
}

// scarce limits how often the log says that descriptors run out.
var scarce problem.Complaints

// warnScarce logs, but not again and again, that streams get a goroutine each that should cost none.
func (route *Route) warnScarce(err error) {
	scarce.Log(route.log, zap.WarnLevel, "connections cannot be taken over and cost more memory than they should; "+
		"limit them, or let the process open more files", zap.Error(err))
}
