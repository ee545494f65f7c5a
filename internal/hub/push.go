package hub

import "slices"

// Push puts a frame of the proxy's own in front of what waits for the connection. The frame has no id, so that it
// changes nothing of what the client has. It is not bounded: what is pushed is little, and seldom.
func (c *Conn) Push(frame []byte) {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	if c.ended || c.place == gone {
		return
	}
	w := c.wait()
	w.head = append(slices.Clip(w.head), frame...)
	c.signal()
}
