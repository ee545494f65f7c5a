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
	server     *caddyhttp.Server // that the route belongs to; nil in tests
	log        *zap.Logger
	complaints *problem.Complaints

	// apart returns a text that is the same for all requests that may share a source, as far as that depends on where the route is.
	apart func() string
}

// rule returns who shares a source, as a text that differs if that differs.
func (t *terms) rule() string {
	s := &t.settings
	return s.Share + "\x00" + strings.Join(s.Cookies, "\x01") + "\x00" + strings.Join(s.Query, "\x01")
}
