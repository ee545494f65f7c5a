package pool

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// ended cleans up after a connection, and logs its end in one line. The line goes to the log of the config in force, since the
// config that admitted the connection may be long gone. It is written in the background, since the caller serves other streams as
// well, which must not wait for a log.
func (p *Hub) ended(c *hub.Conn, reason error) {
	openStreams.Add(-1)
	if a, ok := c.Attached.(*Arrival); ok {
		a.leave()
	}
	log := p.Log()
	e := log.Check(zap.InfoLevel, "connection ended")
	if e == nil {
		return
	}
	events, bytes := c.Delivered()
	fields := []zap.Field{zap.String("connection", c.ID), zap.String("user", c.User),
		zap.Duration("duration", time.Since(c.Since())), zap.Uint64("events", events), zap.Uint64("bytes", bytes),
		zap.String("reason", endReason(c, reason))}
	p.endings.Put(func() { e.Write(fields...) }, func(dropped int) {
		log.Warn("connections ended without a log line each: the log was too slow", zap.Int("lines", dropped))
	})
}

// endReason returns why a stream is over. reason is nil if the hub ended it.
func endReason(c *hub.Conn, reason error) string {
	cause := c.Cause()
	switch {
	case errors.Is(reason, context.Canceled), errors.Is(reason, syscall.EPIPE), errors.Is(reason, syscall.ECONNRESET):
		return "the client left"
	case errors.Is(reason, os.ErrDeadlineExceeded), errors.Is(reason, syscall.ETIMEDOUT):
		return "the client took nothing for too long"
	case reason != nil:
		return reason.Error()
	case cause == hub.Draining, cause == "" && c.Draining():
		return "the hub is draining"
	case cause != "":
		return cause
	}
	return "the hub ended it"
}
