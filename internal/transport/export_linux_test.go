package transport

// Draining reports whether Drain is sending.
func (c *Conn) Draining() bool {
	c.socket.mu.Lock()
	defer c.socket.mu.Unlock()
	return c.socket.draining > 0
}

// Gather makes writes wait for Flush.
func (c *Conn) Gather() { c.socket.gather() }

// Flush sends what was gathered.
func (c *Conn) Flush() error { return c.socket.flush() }
