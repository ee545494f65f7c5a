package hub

import (
	"slices"
	"time"
)

// Conn is one open stream. The hub tells its Waker when there is something to write, and the stream's writer
// then calls Next. The hub never waits for a client.
//
// A connection is either live, and entries that it hears are appended to its pending list as they come, or it is catching up,
// and reads the window or the log from its cursor. Every connection begins by catching up: a new one, one that resumes, and one
// that was too slow.
type Conn struct {
	ID       string
	User     string // "" if there is none
	Remote   string
	Attached Attachment // as given to Subscribe; may be nil

	shard   *shard
	address uint64        // see admission.key
	since   time.Duration // since Hub.began

	// All below is guarded by shard.mu.
	waker   Waker // nil until OnWake
	topics  *topics
	sets    *[]setPlace // the places of its topics in the index; nil if it has none
	waiting *waiting    // nil if nothing waits; while it catches up, no entries wait in it
	catchUp *catchUp    // nil if the connection is live, or its broker cannot be read again
	cursor  uint64      // live: the newest entry put into waiting; catching up: everything up to here has been read
	sent    uint64      // the place of the last id written
	told    uint64      // the same, counting only ids on events of the stream itself
	from    uint64      // the place that the stream started from
	events  uint64      // events given to the stream
	bytes   uint64      // their size
	prev    *Conn       // neighbours in the list of the user's connections
	next    *Conn

	extra *extra // nil for most

	place    int32 // in index.all
	own      int32 // bytes that its Attachment takes; here it does not enlarge Conn
	protocol uint8 // major version of HTTP; 0 for HTTP/1.0
	matches  bool  // it has matchers
	named    bool  // the client named itself, and comes back with the same id
	live     bool
	ended    bool
	held     bool  // no goroutine serves it
	released bool  // its place in the admission is given up, see vacate
	cause    cause // why the hub has ended it
}

// Since returns when the connection began.
func (c *Conn) Since() time.Time { return c.shard.hub.began.Add(c.since) }

// interest returns what the connection hears. The caller holds shard.mu.
func (c *Conn) interest() interest { return interest{c.ID, c.User, c.topics} }

// Waker is what writes a connection's stream. A function in its place would take a piece of memory for each connection.
type Waker = interface {
	// Wake is called when Next may have something. It must not block. If now is false, it is called under a lock, and must not call
	// the connection. If now is true, it may do so, and write what Next returns on the goroutine that it is called on: there is little
	// to write, and a publisher waits for it.
	Wake(now bool)
}

// OnWake sets what is told when Next may have something.
func (c *Conn) OnWake(w Waker) {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	c.waker = w
}

// signal wakes the writer, if there is one yet. The caller holds shard.mu.
func (c *Conn) signal() {
	switch s := c.shard; {
	case c.waker == nil:
	case s.defers && len(s.woken) < maxFew: // a user may have many connections, and the publisher waits
		s.woken = append(s.woken, c.waker)
	default:
		c.waker.Wake(false)
	}
}

// deliver appends an entry to the pending list of a live connection. A connection that exceeds its budget falls back to
// catching up. The caller holds shard.mu.
func (c *Conn) deliver(e *entry, budget int64) {
	if e.receipt != nil {
		e.receipt.match(c, e)
	}
	if !c.live || c.cursor >= e.seq {
		return // a connection that catches up will read it, and a live one may have read it in the window
	}
	c.cursor = e.seq
	w := c.wait() // also if the connection is excluded: the client is then told the position after it
	w.entries = append(w.entries, e)
	c.charge(e.size())
	c.shard.grown += e.size()
	if len(w.entries) == 1 {
		c.signal()
	} else if w.bytes > budget {
		c.fallBack("slow")
	}
}

// End ends the stream. Its last frame tells the client the reason, and to come back after one to two seconds, or up to spread
// later. The writer learns of it from Next.
func (c *Conn) End(reason string, spread time.Duration) {
	frame := closing(reason, spread)
	if c.matches {
		frame = closingUnnamed(spread)
	}
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	if !c.ended {
		c.cause = cause(max(0, slices.Index(causes[:], reason)))
	}
	c.end(frame)
}

// EndWith is End with a last frame of the caller's.
func (c *Conn) EndWith(frame []byte) {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	c.end(frame)
}

// end ends the stream after a last frame, which may be nil. The caller holds shard.mu.
func (c *Conn) end(farewell []byte) {
	if !c.ended {
		c.ended = true
		if farewell != nil {
			c.wait().farewell = farewell
		}
		c.signal()
	}
}

// Ended reports whether the stream was told to end.
func (c *Conn) Ended() bool {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	return c.ended
}

// Close takes the connection out of every index. The writer calls it when its stream has ended. The reason is nil if the hub
// ended the stream.
func (c *Conn) Close(reason error) {
	h := c.shard.hub
	c.shard.trace.left(c, reason)
	h.leave(c)
	if c.matches && c.topics.matchers.Ended != nil {
		c.topics.matchers.Ended()
	}
	if closed := h.main.Closed; closed != nil {
		closed(c, reason)
	}
}
