package broker

import (
	"sync/atomic"
	"time"
)

// Clock measures how far the clock of an engine that several nodes share is ahead of a node's own. Records carry the engine's
// time, so that nodes whose clocks differ agree on which events have outlived their TTL. The zero value takes the two clocks to
// be in step.
type Clock struct {
	Skew time.Duration // for tests: by how much this node's own is wrong

	known  atomic.Bool
	offset atomic.Int64 // a time.Duration
}

// Observe takes the engine's time from an answer that has just arrived. sent is when the question was sent.
func (c *Clock) Observe(sent, engine time.Time) {
	took := time.Since(sent)
	if took > time.Second && c.known.Load() {
		return // it is not known when in between the engine looked at its clock
	}
	c.offset.Store(int64(engine.Sub(sent.Add(took/2 + c.Skew))))
	c.known.Store(true)
}

// Known reports whether Observe was ever called.
func (c *Clock) Known() bool { return c.known.Load() }

// Offset returns how far the engine is ahead, noise included.
func (c *Clock) Offset() time.Duration { return time.Duration(c.offset.Load()) }

// ahead returns Offset, or 0 if that may be noise: nodes in step with the engine then show the same times.
func (c *Clock) ahead() time.Duration {
	if d := c.Offset(); d.Abs() > time.Second {
		return d
	}
	return 0
}

// Local returns the time by this node's clock.
func (c *Clock) Local() time.Time { return time.Now().Add(c.Skew) }

// Now returns the time by the engine's clock.
func (c *Clock) Now() time.Time { return c.Local().Add(c.ahead()) }

// Correct converts a time by the engine's clock to one by this node's.
func (c *Clock) Correct(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Add(-c.ahead())
}
