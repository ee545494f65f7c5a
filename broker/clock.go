package broker

import (
	"sync/atomic"
	"time"
)

// Clock is how far the clock of an engine that several nodes share is ahead of a node's own. Records carry the engine's time, so that nodes
// whose clocks differ agree on what has outlived its TTL. The zero value takes them to be in step.
type Clock struct {
	Skew time.Duration // for tests: by how much this node's own is wrong

	known  atomic.Bool
	offset atomic.Int64 // a time.Duration
}

// Observe takes the engine's time out of an answer that has just come, to a question of when sent.
func (c *Clock) Observe(sent, engine time.Time) {
	took := time.Since(sent)
	if took > time.Second && c.known.Load() {
		return // nobody knows when in between it was
	}
	c.offset.Store(int64(engine.Sub(sent.Add(took/2 + c.Skew))))
	c.known.Store(true)
}

// Known reports whether anything was observed.
func (c *Clock) Known() bool { return c.known.Load() }

// Offset is how far the engine is ahead, to the last bit of noise.
func (c *Clock) Offset() time.Duration { return time.Duration(c.offset.Load()) }

// ahead leaves out differences that are none: a node in step with the engine shows the same times as every other.
func (c *Clock) ahead() time.Duration {
	if d := c.Offset(); d.Abs() > time.Second {
		return d
	}
	return 0
}

// Local is this node's time.
func (c *Clock) Local() time.Time { return time.Now().Add(c.Skew) }

// Now is the engine's time.
func (c *Clock) Now() time.Time { return c.Local().Add(c.ahead()) }

// Correct makes a time of the engine's one of this node's clock.
func (c *Clock) Correct(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Add(-c.ahead())
}
