package hub

import (
	"slices"
	"sync"
)

// waiting holds what waits for a connection. A connection for which nothing waits has none. They come from a pool, so that
// delivering to an idle connection allocates nothing.
type waiting struct {
	head     []byte   // written before all else
	opening  []byte   // written after it: the frames of an Opening, which other connections share
	entries  []*entry // oldest first
	bytes    int64    // of entries
	farewell []byte   // the last frame of a stream that has ended
}

var pool = sync.Pool{New: func() any { return new(waiting) }}

// maxPooled bounds the capacity of the entries of a waiting that goes back to the pool.
const maxPooled = 64

// wait returns the connection's waiting, and creates it if there is none. The caller holds shard.mu.
func (c *Conn) wait() *waiting {
	if c.waiting == nil {
		c.waiting = pool.Get().(*waiting)
	}
	return c.waiting
}

// pending returns the entries that wait. The caller holds shard.mu.
func (c *Conn) pending() []*entry {
	if c.waiting == nil {
		return nil
	}
	return c.waiting.entries
}

// charge counts bytes that begin to wait, or cease to. The caller holds shard.mu.
func (c *Conn) charge(bytes int64) {
	c.waiting.bytes += bytes
	c.shard.traffic.Pending += bytes
}

// head puts a frame before everything that waits. The frame must not be changed afterwards. The caller holds shard.mu, or is
// alone with the connection.
func (c *Conn) head(frame []byte) {
	if w := c.wait(); w.head == nil {
		w.head = frame
	} else {
		w.head = append(slices.Clip(w.head), frame...)
	}
	c.signal()
}

// Push puts a frame of the proxy's own before everything that waits for the connection. The frame has no id, so it does not
// change the client's place in the log. Nothing bounds what is pushed: it is little and rare.
func (c *Conn) Push(frame []byte) {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	if !c.ended && c.place != gone {
		c.head(frame)
	}
}

// takeHead appends to frames what comes before the entries, if there is anything. An opening larger than max comes alone. The caller
// holds shard.mu.
func (c *Conn) takeHead(frames [][]byte, max int64) [][]byte {
	w := c.waiting
	if w == nil || w.head == nil && w.opening == nil {
		return frames
	}
	if w.head != nil {
		frames = append(frames, w.head)
		w.head = nil
	}
	if w.opening != nil && (len(frames) == 0 || int64(len(w.opening)) <= max) {
		frames = append(frames, w.opening)
		w.opening = nil
	}
	c.release()
	return frames
}

// takeFarewell appends the last frame of a stream that has ended, if it has one that was not taken. The caller holds shard.mu.
func (c *Conn) takeFarewell(frames [][]byte) [][]byte {
	if w := c.waiting; w != nil && w.farewell != nil {
		frames = append(frames, w.farewell)
		w.farewell = nil
		c.release()
	}
	return frames
}

// opens reports whether the frames of an Opening have yet to be taken. The caller holds shard.mu.
func (c *Conn) opens() bool { return c.waiting != nil && c.waiting.opening != nil }

// shift removes the oldest n entries. The caller holds shard.mu.
func (c *Conn) shift(n int, bytes int64) {
	w := c.waiting
	c.charge(-bytes)
	rest := copy(w.entries, w.entries[n:])
	clear(w.entries[rest:])
	w.entries = w.entries[:rest]
	c.release()
}

// drop removes all entries. The caller holds shard.mu.
func (c *Conn) drop() {
	if w := c.waiting; w != nil {
		c.shift(len(w.entries), w.bytes)
	}
}

// release returns waiting to the pool if it is empty. The caller holds shard.mu.
func (c *Conn) release() {
	w := c.waiting
	if w.head != nil || w.opening != nil || len(w.entries) > 0 || w.farewell != nil {
		return
	}
	if c.waiting = nil; cap(w.entries) <= maxPooled {
		pool.Put(w)
	}
}
