package subscribe

import (
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-push/caddy-sse-push/internal/rules"
)

const (
	defaultHeartbeat = 15 * time.Second
	defaultRetryMin  = time.Second
	defaultRetryMax  = 3 * time.Second

	defaultWriteTimeout = time.Minute

	minHeartbeat    = time.Second
	maxRetryTime    = 24 * time.Hour
	minWriteTimeout = time.Second
	maxWriteTimeout = 24 * time.Hour
)

// Timing says how streams are kept alive, and when clients reconnect.
type Timing struct {
	// How long a stream may be silent before a comment line keeps it open. At least 1s. Default: 15s.
	Heartbeat caddy.Duration `json:"heartbeat,omitempty"`

	// How long a client waits at least before it reconnects: each is told a random time from this one to `retry_max`. From
	// 500ms to 24h. Default: 1s.
	RetryMin caddy.Duration `json:"retry_min,omitempty"`

	// How long a client waits at most before it reconnects. Up to 24h. Default: 3s, or `retry_min` if that is longer.
	RetryMax caddy.Duration `json:"retry_max,omitempty"`

	// How long a client may take nothing, with its socket full, before its stream is closed. From 1s to 24h. Default: 60s.
	WriteTimeout caddy.Duration `json:"write_timeout,omitempty"`
}

// SetDefaults fills in what is not given.
func (t *Timing) SetDefaults() {
	if t.Heartbeat == 0 {
		t.Heartbeat = caddy.Duration(defaultHeartbeat)
	}
	if t.RetryMin == 0 {
		t.RetryMin = caddy.Duration(defaultRetryMin)
	}
	if t.RetryMax == 0 {
		t.RetryMax = max(t.RetryMin, caddy.Duration(defaultRetryMax))
	}
	if t.WriteTimeout == 0 {
		t.WriteTimeout = caddy.Duration(defaultWriteTimeout)
	}
}

// Check reports what is wrong with the settings. It does not matter whether the defaults have been filled in.
func (t *Timing) Check() error {
	if err := t.CheckHeartbeat(); err != nil {
		return fmt.Errorf("heartbeat: %w", err)
	}
	if err := t.CheckRetry(); err != nil {
		return fmt.Errorf("retry: %w", err)
	}
	if err := t.CheckWriteTimeout(); err != nil {
		return fmt.Errorf("write_timeout: %w", err)
	}
	return nil
}

// CheckHeartbeat reports what is wrong with the heartbeat.
func (t *Timing) CheckHeartbeat() error {
	if d := time.Duration(t.Heartbeat); d != 0 && d < minHeartbeat {
		return fmt.Errorf("must be at least %s; is %s", minHeartbeat, d)
	}
	return nil
}

// CheckWriteTimeout reports what is wrong with the write timeout.
func (t *Timing) CheckWriteTimeout() error {
	if d := time.Duration(t.WriteTimeout); d != 0 && (d < minWriteTimeout || d > maxWriteTimeout) {
		return fmt.Errorf("must be from %s to %s; is %s", minWriteTimeout, maxWriteTimeout, d)
	}
	return nil
}

// CheckRetry reports what is wrong with the times after which clients reconnect.
func (t *Timing) CheckRetry() error {
	filled := *t
	filled.SetDefaults()
	lo, hi := time.Duration(filled.RetryMin), time.Duration(filled.RetryMax)
	switch {
	case lo < rules.MinRetry:
		return fmt.Errorf("must be at least %s; is %s", rules.MinRetry, lo)
	case hi > maxRetryTime:
		return fmt.Errorf("must be at most %s; is %s", maxRetryTime, hi)
	case lo > hi:
		return fmt.Errorf("the shortest, %s, must not be more than the longest, %s", lo, hi)
	}
	return nil
}
