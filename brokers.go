package ssepush

// The brokers that need no client library are always there.
import _ "github.com/sse-push/caddy-sse-push/broker/filebroker"
