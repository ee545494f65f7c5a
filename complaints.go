package ssepush

import (
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// complaints log what clients can bring about, each complaint at most once in warnEvery. The set of what is complained of is
// small: what differs from one request to the next stands in a line's fields. The zero value is ready.
type complaints struct {
	mu   sync.Mutex
	made map[string]*complaint
}

// complaint is one that was logged.
type complaint struct {
	at   time.Time
	more int // how often it was due since then, and was not logged
}

// take reports whether a complaint is to be logged now, and how often it was left out before.
func (c *complaints) take(what string, now time.Time) (more int, due bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := c.made[what]
	switch {
	case last == nil:
		if c.made == nil {
			c.made = map[string]*complaint{}
		}
		last = &complaint{}
		c.made[what] = last
	case now.Sub(last.at) < warnEvery:
		last.more++
		return 0, false
	}
	more = last.more
	*last = complaint{at: now}
	return more, true
}

// log logs a complaint, if it is due; otherwise it is a line for debugging.
func (c *complaints) log(log *zap.Logger, level zapcore.Level, what string, fields ...zap.Field) {
	more, due := c.take(what, time.Now())
	if !due {
		level = zap.DebugLevel
	}
	line := log.Check(level, what)
	if line == nil {
		return
	}
	line.Write(append(fields, leftOut(more)...)...)
}

// complain logs what a client's request has brought about, once a minute.
func (h *Handler) complain(level zapcore.Level, message string, fields ...zap.Field) {
	h.complaints.log(h.log, level, message, fields...)
}

// leftOut says how often a complaint was not logged.
func leftOut(more int) []zap.Field {
	if more == 0 {
		return nil
	}
	return []zap.Field{zap.Int("left_out", more)}
}
