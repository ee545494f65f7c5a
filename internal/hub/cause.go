package hub

import "time"

// cause is why a stream was ended by the hub.
type cause uint8

const (
	other cause = iota

	// On request: see finish.
	disconnected
	denied
	superseded

	// By a caller of End.
	draining
	reloaded
	grantEnded
	sourceEnded
)

// causes has the causes as clients and the log are told them.
var causes = [...]string{
	disconnected: "disconnected", denied: "denied", superseded: "superseded",
	draining: Draining, reloaded: Reloaded, grantEnded: GrantEnded, sourceEnded: SourceEnded,
}

// String returns the cause as clients and the log are told it.
func (why cause) String() string { return causes[why] }

// Cause returns why the hub has ended the stream; "" if it has not, or by a last frame of the caller's.
func (c *Conn) Cause() string {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	return c.cause.String()
}

// finished reports whether the stream was told to end on request, though its client may not have taken that yet.
func (c *Conn) finished() bool {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	return other < c.cause && c.cause <= superseded
}

// finish ends the stream for a cause. It frees the stream's place in the admission at once, before the client has taken the
// end: a user at the limit could not come back otherwise until the old stream is noticed to be dead, and lists would show a
// user who was disconnected. The client comes back as after End. The caller holds shard.mu.
func (c *Conn) finish(why cause, spread time.Duration) {
	if c.ended {
		return
	}
	c.cause = why
	c.shard.hub.unclaim(c)
	if c.vacate() {
		c.shard.hub.admission.exit(c.User, c.address)
		c.shard.hub.main.nodes.dismiss(c.User, nil)
	}
	switch {
	case why == superseded:
		c.end(replaced)
	case c.matches: // its client knows no such events
		c.end(nil)
	default:
		c.end(closing(why.String(), spread))
	}
}

// vacate marks the connection's place in the admission as given up, and reports whether it was not before. The caller holds
// shard.mu.
func (c *Conn) vacate() bool {
	first := !c.released
	c.released = true
	return first
}
