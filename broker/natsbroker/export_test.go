package natsbroker

import (
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// Skew makes a node's clock wrong. Call it before the broker is used.
func Skew(b broker.Broker, d time.Duration) { b.(*Broker).clock.Skew = d }
