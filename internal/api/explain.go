package api

import (
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// Explanation says why a client did or did not get an event.
type Explanation = hub.Explanation
