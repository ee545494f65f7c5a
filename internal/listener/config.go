package listener

import (
	"crypto/tls"
	"time"
)

// Config says how handshakes run.
type Config struct {
	TLS     *tls.Config
	Timeout time.Duration // for how long a client may be silent in its handshake; 0 means no limit
	Linger  time.Duration // for how long handshakes may go on after the listener was closed
}
