package hub

import "time"

// Conn is one open stream, as the hub sees it. The hub calls what OnWake has set when there is something to
// write, and the stream's writer asks Next for it: the hub never waits for a client.
//
// A connection is live, and matching entries are appended to its pending list, or it is catching up, and
// reads the window from its cursor. A new one, one that resumes and a slow one all come through catching up.
type Conn struct {
	ID     string
	User   string // "" for none
	Remote string
	Route  Route // as given to Subscribe; nil: none

	shard   *shard
	address string        // what limits count it by
	since   time.Duration // from the hub's beginning

	// Guarded by shard.mu.
	wake    func()
	topics  *topics
	sets    []membership // of its topics
	waiting *waiting     // nil: nothing waits; catching up: no entries do
	catchUp *catchUp     // nil: the connection is live, or its broker cannot be read again
	cursor  uint64       // live: the newest entry put into waiting; catching up: all up to here has been read
	sent    uint64       // the place that the last id written stands for
	told    uint64       // the same of the last id on an event of the stream itself
	from    uint64       // the place that its stream continued from
	events  uint64       // given to the stream
	bytes   uint64       // and theirs
	prev    *Conn        // among its user's
	next    *Conn

	extra *extra // nil: nothing of it

	place    int32 // in index.all
	own      int32 // bytes that its Route takes; in this place it makes the Conn no larger
	protocol uint8 // HTTP's major version
	old      bool  // asked for by HTTP/1.0
	named    bool  // its client comes back with the same id
	live     bool
	ended    bool
	held     bool  // no goroutine serves it
	released bool  // its place in the admission is given up
	cause    cause // why it has ended
}

// Since is when the connection began.
func (c *Conn) Since() time.Time { return c.shard.hub.began.Add(c.since) }

// interest is what it hears. The caller holds shard.mu.
func (c *Conn) interest() interest { return interest{c.ID, c.User, c.topics} }

// OnWake sets what is called when Next may have something. It is called under a lock: it must neither block
// nor call the connection.
func (c *Conn) OnWake(wake func()) {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	c.wake = wake
}

// signal wakes the writer, if there is one yet. The caller holds shard.mu.
func (c *Conn) signal() {
	if c.wake != nil {
		c.wake()
	}
}

// deliver puts an entry into the pending list of a live connection. Where that is over its budget, the connection falls
// back to catching up. The caller holds shard.mu.
func (c *Conn) deliver(e *entry, budget int64) {
	if e.receipt != nil {
		e.receipt.match(c, e)
	}
	if !c.live || c.cursor >= e.seq {
		return // it will read it in the window, or has it already
	}
	c.cursor = e.seq
	w := c.wait() // one that is excluded waits as well: the client is told that it has passed it
	w.entries = append(w.entries, e)
	c.charge(e.size())
	c.shard.grown += e.size()
	if len(w.entries) == 1 {
		c.signal()
	} else if w.bytes > budget {
		c.fallBack("slow")
	}
}

// End ends the stream behind a last frame, which may be nil. The writer notices by Next.
func (c *Conn) End(farewell []byte) {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	c.end(farewell)
}

// end is End for who holds shard.mu.
func (c *Conn) end(farewell []byte) {
	if !c.ended {
		c.ended = true
		if farewell != nil {
			c.head(farewell)
		}
		c.signal()
	}
}

// Ended reports whether the stream is to be ended.
func (c *Conn) Ended() bool {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	return c.ended
}

// Close takes the connection out of every index. The writer calls it when its stream has ended; the reason is
// nil where it was ended from here.
func (c *Conn) Close(reason error) {
	h := c.shard.hub
	c.shard.trace.left(c, reason)
	h.leave(c)
	if h.Closed != nil {
		h.Closed(c, reason)
	}
}
