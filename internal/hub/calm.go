package hub

import (
	"runtime"
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

// begins reports whether a storm begins with a new connection, of total now. The caller then sets the timer.
func (c *calm) begins(total int) bool {
	begins := c.timer == nil && total >= max(stormSize, 2*c.after)
	if begins || c.timer != nil {
		c.grew = time.Now()
	}
	return begins
}

// settle gives memory back, or waits longer if the storm goes on.
func (c *calm) settle(total int) {
	switch wait := calmAfter - time.Since(c.grew); {
	case c.timer == nil: // the hub was closed
	case wait > 0:
		c.timer.Reset(wait)
	default:
		c.after, c.timer = total, nil
		go giveBack() // not under the lock
	}
}

// giveBack gives memory back to the system. It takes two collections to free what a sync.Pool holds: the buffers of all requests that
// were under way at once.
func giveBack() {
	runtime.GC()
	debug.FreeOSMemory()
}

// stop is called when the hub is closed.
func (c *calm) stop() {
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
}
