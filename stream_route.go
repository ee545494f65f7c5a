package ssepush

import (
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
)

// streamRoute is the subscribe route of a handler.
type streamRoute struct {
	path    string
	handler *Handler
	cors    *corsPolicy
	hub     *hubRef
	log     *zap.Logger

	heartbeat, writeTimeout time.Duration
	retryMin, retryMax      time.Duration

	shared *arrival // of the connections that have nothing of their own to keep
}

// Path implements Route.
func (s *streamRoute) Path() string { return s.path }

// Admits implements Route.
func (s *streamRoute) Admits(a *arrival) bool {
	return (a.page == "" || s.cors.allows(a.page)) && s.handler.vouches(a.grant)
}

// Grants implements Route. What the request's placeholders stood for is not known any more: such entries stay as they
// were, and new ones are not granted.
func (s *streamRoute) Grants(a *arrival, user string) (id Identity) {
	repl := caddy.NewEmptyReplacer()
	for _, entry := range s.handler.Topics {
		if topic, ok := a.filled[entry]; ok {
			id.Topics = append(id.Topics, topic)
		} else if !asksRequest(entry) {
			id.Topics = append(id.Topics, expandGrant([]string{entry}, user, repl)...)
		}
	}
	if a.grant != nil {
		id.Topics = append(id.Topics, a.grant.topics...)
	}
	return id
}

// Timing implements Route.
func (s *streamRoute) Timing() (heartbeat, writeTimeout time.Duration) {
	return s.heartbeat, s.writeTimeout
}

// Forget implements Route.
func (s *streamRoute) Forget(user string) {
	for i := range s.handler.Users {
		if v, ok := s.handler.Users[i].verifier.(*authorizer); ok {
			v.purge(user)
		}
	}
}

// arrivalOf returns what a connection keeps of its request.
func (s *streamRoute) arrivalOf(r *http.Request, id Identity) *arrival {
	origin := r.Header.Get("Origin")
	if isOwnOrigin(r) {
		origin = ""
	}
	a := &arrival{path: s.path, page: origin, grant: id.grant}
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	for _, entry := range s.handler.Topics {
		if !asksRequest(entry) {
			continue
		}
		if a.filled == nil {
			a.filled = map[string]string{}
		}
		for _, topic := range expandGrant([]string{entry}, id.User, repl) {
			a.filled[entry] = topic
		}
	}
	if a.page == "" && a.filled == nil && a.grant == nil {
		return s.shared
	}
	return a
}

// asksRequest reports whether an entry of a grant has a placeholder other than {user}.
func asksRequest(entry string) bool {
	return strings.Contains(strings.ReplaceAll(entry, "{user}", ""), "{")
}
