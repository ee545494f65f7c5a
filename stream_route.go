package ssepush

import (
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/guard"
	"github.com/sse-push/caddy-sse-push/internal/identity"
	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/request"
)

// streamRoute is the subscribe route of a handler.
type streamRoute struct {
	path  string
	chain *identity.Chain
	cors  *guard.CORS
	hub   *pool.Ref
	log   *zap.Logger

	heartbeat, writeTimeout time.Duration
	retryMin, retryMax      time.Duration

	shared *pool.Arrival // of the connections that have nothing of their own to keep
}

// Path implements Route.
func (s *streamRoute) Path() string { return s.path }

// Admits implements Route.
func (s *streamRoute) Admits(a *pool.Arrival) bool {
	return (a.Page == "" || s.cors.Allows(a.Page)) && s.chain.Vouches(a.Grant)
}

// Grants implements Route.
func (s *streamRoute) Grants(a *pool.Arrival, user string) identity.Identity {
	return s.chain.Regrant(user, a.Filled, a.Grant)
}

// Timing implements Route.
func (s *streamRoute) Timing() (heartbeat, writeTimeout time.Duration) {
	return s.heartbeat, s.writeTimeout
}

// Forget implements Route.
func (s *streamRoute) Forget(user string) { s.chain.Forget(user) }

// arrivalOf returns what a connection keeps of its request.
func (s *streamRoute) arrivalOf(r *http.Request, id identity.Identity) *pool.Arrival {
	origin := r.Header.Get("Origin")
	if request.IsOwnOrigin(r) {
		origin = ""
	}
	a := &pool.Arrival{Path: s.path, Page: origin, Filled: s.chain.Filled(r, id.User), Grant: id.Grant}
	if a.Page == "" && a.Filled == nil && a.Grant == nil {
		return s.shared
	}
	return a
}

// scarce is the complaint that descriptors run out.
var scarce problem.Complaints

// warnScarce logs, but not again and again, that streams get a goroutine each that should cost none.
func (s *streamRoute) warnScarce(err error) {
	scarce.Log(s.log, zap.WarnLevel, "connections cannot be taken over and cost more memory than they should; "+
		"limit them, or let the process open more files", zap.Error(err))
}
