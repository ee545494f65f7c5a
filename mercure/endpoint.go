package mercure

import (
	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/fair"
	"github.com/sse-push/caddy-sse-push/internal/guard"
	"github.com/sse-push/caddy-sse-push/internal/matcher"
	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/mercure/internal/access"
)

// endpoint is a hub's path, with what answers its requests.
type endpoint struct {
	path                 string
	resource             string        // what a token of version 1.0 must be for
	metadataURL          string        // where clients read what tokens the hub takes
	base                 *matcher.Base // of relative topics
	keys                 *access.Keyring
	authorizationServers []string

	anonymous          bool
	cookieName         string // "": that of each version
	publishOrigins     []string
	tellsSubscriptions bool

	cors  *guard.CORS
	route route
	hub   *pool.Ref

	turns *fair.Queue // of subscribers whose matchers are compiled, by their addresses

	log        *zap.Logger
	complaints problem.Complaints
}
