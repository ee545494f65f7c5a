package hub

import (
	"runtime/debug"
	"time"
)

const (
	// stormSize is how many connections are worth it.
	stormSize = 1000
	// calmAfter is how long no more have to come for a storm to be over.
	calmAfter = 5 * time.Second
)

// calm gives memory back to the system once a storm of new connections is over: what their requests took
// is several times what the connections keep, and while nothing happens no garbage collection would free it.
// The lock of admission guards it.
type calm struct {
	after int         // how many connections there were at the last time, or fewer since
	grew  time.Time   // while there is a timer: when the last one came
	timer *time.Timer // nil: no storm
}

// joined is called when a connection has come.
func (a *admission) joined() {
	c := &a.calm
	if c.timer == nil && a.total >= max(stormSize, 2*c.after) {
		c.timer = time.AfterFunc(calmAfter, a.settled)
	}
	if c.timer != nil {
		c.grew = time.Now()
	}
}

// settled gives memory back, or waits on where the storm goes on.
func (a *admission) settled() {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := &a.calm
	switch wait := calmAfter - time.Since(c.grew); {
	case c.timer == nil: // the hub was closed
	case wait > 0:
		c.timer.Reset(wait)
	default:
		c.after, c.timer = a.total, nil
		go debug.FreeOSMemory() // not under the lock
	}
}

// stop is called when the hub is closed.
func (c *calm) stop() {
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
}
