// Package api answers the calls of apps, operators and commands to a hub: what they publish, ask, and change. A call comes
// through the internal route, Caddy's admin endpoint or the inspector; that makes no difference here.
package api

import (
	"net/http"

	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/pool"
)

// Call is a call to a hub. Its caller has been checked: by the guard of the internal route, by the inspector's session, or
// by Caddy's admin endpoint.
type Call struct {
	Path    string // below the prefix of its route, such as users/u1
	Escaped string // the same as it was sent: a name may hold a slash
	Log     *zap.Logger
}

// Serve answers a call to a hub, whether it came through the internal route, the admin endpoint or the inspector.
func Serve(w http.ResponseWriter, r *http.Request, p *pool.Hub, c Call) {
	switch {
	case c.Path == "publish":
		servePublish(w, r, p.Hub, p.MaxEvent())
	case c.isControl(r):
		serveControl(w, r, p, c)
	default:
		serveView(w, r, p, c.Path)
	}
}
