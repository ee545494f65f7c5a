package hub

import (
	"slices"
	"sync"
)

// waiting is what waits for a connection. One for which nothing waits has none: they come from a pool, so that
// delivering to an idle connection allocates nothing.
type waiting struct {
	head    []byte   // to be written before all else
	entries []*entry // oldest first
	bytes   int64    // of entries
}

var pool = sync.Pool{New: func() any { return new(waiting) }}

// maxPooled is how many entries' room goes back to the pool.
const maxPooled = 64

// wait returns what waits for the connection, to be added to. The caller holds shard.mu.
func (c *Conn) wait() *waiting {
	if c.waiting == nil {
		c.waiting = pool.Get().(*waiting)
	}
	return c.waiting
}

// pending are the entries that wait. The caller holds shard.mu.
func (c *Conn) pending() []*entry {
	if c.waiting == nil {
		return nil
	}
	return c.waiting.entries
}

// charge counts bytes that have begun to wait, or do no more. The caller holds shard.mu.
func (c *Conn) charge(bytes int64) {
	c.waiting.bytes += bytes
	c.shard.traffic.Pending += bytes
}

// head puts a frame before everything that waits. The frame must not be changed afterwards. The caller holds shard.mu, or is alone with the connection.
func (c *Conn) head(frame []byte) {
	if w := c.wait(); w.head == nil {
		w.head = frame
	} else {
		w.head = append(slices.Clip(w.head), frame...)
	}
	c.signal()
}

// Push puts a frame of the proxy's own before everything that waits for the connection. The frame has no id, so it changes
// nothing of what the client has. It is not bounded: what is pushed is little, and seldom.
func (c *Conn) Push(frame []byte) {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	if !c.ended && c.place != gone {
		c.head(frame)
	}
}

// takeHead appends the head to frames, if there is one. The caller holds shard.mu.
func (c *Conn) takeHead(frames [][]byte) [][]byte {
	if c.waiting == nil || c.waiting.head == nil {
		return frames
	}
	frames = append(frames, c.waiting.head)
	c.waiting.head = nil
	c.release()
	return frames
}

// shift takes the oldest n entries off. The caller holds shard.mu.
func (c *Conn) shift(n int, bytes int64) {
	w := c.waiting
	c.charge(-bytes)
	rest := copy(w.entries, w.entries[n:])
	clear(w.entries[rest:])
	w.entries = w.entries[:rest]
	c.release()
}

// drop forgets the entries that wait. The caller holds shard.mu.
func (c *Conn) drop() {
	if w := c.waiting; w != nil {
		c.shift(len(w.entries), w.bytes)
	}
}

// release gives waiting back where nothing is left in it.
func (c *Conn) release() {
	w := c.waiting
	if w.head != nil || len(w.entries) > 0 {
		return
	}
	if c.waiting = nil; cap(w.entries) <= maxPooled {
		pool.Put(w)
	}
}
