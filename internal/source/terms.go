package source

import (
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/reach"
)

// terms are what a route of a config says of its sources.
type terms struct {
	settings   Settings
	path       string            // the route's
	server     *caddyhttp.Server // that the route belongs to; nil if there is none
	log        *zap.Logger
	complaints *problem.Complaints

	// To be called once the config has been loaded.
	place func() string // names where the route is: see placeOf
	index func() int    // of the route among those at the same place
}

// placeOf returns the addresses and the path that a route serves, and the matchers on the way to it, by which it differs from others
// of the same path.
func (t *terms) placeOf(h caddyhttp.MiddlewareHandler) string {
	if t.server == nil {
		return t.path
	}
	return strings.Join(t.server.Listen, " ") + " " + t.path + "\n" + reach.Way(t.server.Routes, h)
}

// isSame reports whether t is the route other, as far as can be told of routes of two configs.
func (t *terms) isSame(other *terms) bool {
	return t.place() == other.place() && t.index() == other.index() && t.rule() == other.rule()
}

// rule returns who shares a source, as a text that differs if that differs.
func (t *terms) rule() string {
	s := &t.settings
	return s.Share + "\x00" + strings.Join(s.Cookies, "\x01") + "\x00" + strings.Join(s.Query, "\x01")
}
