package subscribe

import (
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/reach"
)

// Protocol is a Caddy module in the namespace sse_push.protocols. It speaks another protocol than the product's own with the clients
// and publishers of a hub, on paths of its own.
type Protocol interface {
	caddy.Module

	// Paths returns the paths that the protocol answers, each with all below it. It may be called before Attach, and before the
	// module is provisioned.
	Paths() []reach.Path
	// Attach joins the protocol to a hub, which is not open yet, and adds the protocol's routes to it.
	Attach(Site) error
	// ServeHTTP answers a request. Its URL is the one by which the request was found to be the protocol's.
	http.Handler
}

// Site is what a protocol shares with the directive that has it.
type Site struct {
	Timing Timing // with its defaults filled in
	Hub    *pool.Ref
	Log    *zap.Logger
}
