package transport

// Draining reports whether Drain is sending.
func (c *Conn) Draining() bool {
	c.socket.mu.Lock()
	defer c.socket.mu.Unlock()
	return c.socket.draining > 0
}
