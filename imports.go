package ssepush

import (
	// The brokers that need no client library are always there.
	_ "github.com/sse-push/caddy-sse-push/broker/filebroker"

	_ "github.com/sse-push/caddy-sse-push/internal/command"
)
