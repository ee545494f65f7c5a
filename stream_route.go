package ssepush

import (
	"net/http"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/problem"
	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/guard"
	"github.com/sse-push/caddy-sse-push/internal/identity"
	"github.com/sse-push/caddy-sse-push/internal/request"
)

// streamRoute is the subscribe route of a handler.
type streamRoute struct {
	path  string
	chain *identity.Chain
	cors  *guard.CORS
	hub   *hubRef
	log   *zap.Logger

	heartbeat, writeTimeout time.Duration
	retryMin, retryMax      time.Duration

	shared *arrival // of the connections that have nothing of their own to keep
}

// Path implements Route.
func (s *streamRoute) Path() string { return s.path }

// Admits implements Route.
func (s *streamRoute) Admits(a *arrival) bool {
	return (a.page == "" || s.cors.Allows(a.page)) && s.chain.Vouches(a.grant)
}

// Grants implements Route.
func (s *streamRoute) Grants(a *arrival, user string) identity.Identity {
	return s.chain.Regrant(user, a.filled, a.grant)
}

// Timing implements Route.
func (s *streamRoute) Timing() (heartbeat, writeTimeout time.Duration) {
	return s.heartbeat, s.writeTimeout
}

// Forget implements Route.
func (s *streamRoute) Forget(user string) { s.chain.Forget(user) }

// arrivalOf returns what a connection keeps of its request.
func (s *streamRoute) arrivalOf(r *http.Request, id identity.Identity) *arrival {
	origin := r.Header.Get("Origin")
	if request.IsOwnOrigin(r) {
		origin = ""
	}
	a := &arrival{path: s.path, page: origin, filled: s.chain.Filled(r, id.User), grant: id.Grant}
	if a.page == "" && a.filled == nil && a.grant == nil {
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
