package feed

import (
	"sync/atomic"
	"time"
)

// Counts are what feeds have read. Several may share them, one after the other or at once.
type Counts struct {
	Events     atomic.Uint64 // that the log has taken
	Bytes      atomic.Uint64 // of the upstream
	Dropped    atomic.Uint64 // events whose names no client may be sent
	DroppedIDs atomic.Uint64 // ids that no client could send back

	last atomic.Int64 // when the log took the last event, in nanoseconds; 0 if none
}

// Last returns when the log has taken the last event; zero if it has taken none.
func (c *Counts) Last() time.Time {
	if ns := c.last.Load(); ns != 0 {
		return time.Unix(0, ns)
	}
	return time.Time{}
}

func (c *Counts) add() {
	c.Events.Add(1)
	c.last.Store(time.Now().UnixNano())
}
