package problem

import (
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Every is the shortest time between two log lines of the same complaint.
const Every = time.Minute

// Complaints logs events that clients can cause, each kind at most once in Every. The kinds must be few: details that differ
// between requests belong in a line's fields. The zero value is ready to use.
type Complaints struct {
	mu   sync.Mutex // guards made
	made map[string]*complaint
}

// complaint is a kind that was logged before.
type complaint struct {
	at   time.Time
	more int // how many were left out since then
}

// Take reports whether a complaint is due to be logged, and how many were left out since the last time.
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

// Log logs a complaint if it is due, and otherwise at debug level.
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

// LeftOut returns the log field for complaints that were left out, if any.
func LeftOut(more int) []zap.Field {
	if more == 0 {
		return nil
	}
	return []zap.Field{zap.Int("left_out", more)}
}
