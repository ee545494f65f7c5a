package problem

import (
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Every is how often the same complaint is logged at most.
const Every = time.Minute

// Complaints log what clients can bring about, each complaint at most once in warnEvery. The set of what is complained of is
// small: what differs from one request to the next stands in a line's fields. The zero value is ready.
type Complaints struct {
	mu   sync.Mutex
	made map[string]*complaint
}

// complaint is one that was logged.
type complaint struct {
	at   time.Time
	more int // how often it was due since then, and was not logged
}

// Take reports whether a complaint is to be logged now, and how often it was left out before.
func (c *Complaints) Take(what string, now time.Time) (more int, due bool) {
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
	case now.Sub(last.at) < Every:
		last.more++
		return 0, false
	}
	more = last.more
	*last = complaint{at: now}
	return more, true
}

// Log logs a complaint, if it is due; otherwise it is a line for debugging.
func (c *Complaints) Log(log *zap.Logger, level zapcore.Level, what string, fields ...zap.Field) {
	more, due := c.Take(what, time.Now())
	if !due {
		level = zap.DebugLevel
	}
	line := log.Check(level, what)
	if line == nil {
		return
	}
	line.Write(append(fields, LeftOut(more)...)...)
}

// LeftOut says how often a complaint was not logged.
func LeftOut(more int) []zap.Field {
	if more == 0 {
		return nil
	}
	return []zap.Field{zap.Int("left_out", more)}
}
