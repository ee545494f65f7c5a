package source

import (
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/problem"
)

// terms are what a route of a config says of its sources.
type terms struct {
	settings   Settings
	path       string            // the route's
	server     *caddyhttp.Server // that the route belongs to; nil if there is none
	index      int               // of the route among those of the same path and addresses
	log        *zap.Logger
	complaints *problem.Complaints
}

// place names the addresses and the path that a route serves. Sites of several hosts may have a route at one place, and so may
// routes of one host that a matcher tells apart.
func (t *terms) place() string {
	if t.server == nil {
		return t.path
	}
	return strings.Join(t.server.Listen, " ") + " " + t.path
}

// isSame reports whether t is the route other, as far as can be told of routes of two configs.
func (t *terms) isSame(other *terms) bool {
	return t.place() == other.place() && t.index == other.index && t.rule() == other.rule()
}

// rule returns who shares a source, as a text that differs if that differs.
func (t *terms) rule() string {
	s := &t.settings
	return s.Share + "\x00" + strings.Join(s.Cookies, "\x01") + "\x00" + strings.Join(s.Query, "\x01")
}
