package hub

import (
	"runtime/debug"
	"time"
)

const (
	// stormSize is the least number of connections that make a storm.
	stormSize = 1000
	// calmAfter is how long no new connections may come before a storm is over.
	calmAfter = 5 * time.Second
)

// calm gives memory back to the system once a storm of new connections is over: their requests took several times what the
// connections keep, and while nothing happens no garbage collection frees it. The lock of admission guards it.
type calm struct {
	after int         // connections at the end of the last storm, or the fewest since
	grew  time.Time   // when the last one came, while there is a timer
	timer *time.Timer // nil if there is no storm
}

// joined is called for each new connection.
func (a *admission) joined() {
	c := &a.calm
	if c.timer == nil && a.total >= max(stormSize, 2*c.after) {
		c.timer = time.AfterFunc(calmAfter, a.settled)
	}
	if c.timer != nil {
		c.grew = time.Now()
	}
}

// settled gives memory back, or waits longer if the storm goes on.
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
