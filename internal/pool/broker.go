package pool

import "github.com/sse-push/caddy-sse-push/broker"

// BrokerModule is a Caddy module in the namespace sse_push.brokers. It opens the log of a hub.
type BrokerModule interface {
	// LogKey names the log that Open opens. As long as it stays the same, the hub goes on through a reload.
	LogKey() string
	// Open returns the log of a hub. It must not wait for a server.
	Open(hub string) (broker.Broker, error)
}
