package ssepush

import (
	// Always linked, since it needs no client library.
	_ "github.com/sse-push/caddy-sse-push/broker/filebroker"

	_ "github.com/sse-push/caddy-sse-push/internal/command"
)
