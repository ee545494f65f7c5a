package hub

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/sse"
)

// cause is why a stream was ended by the hub.
type cause uint8

const (
	other cause = iota
	disconnected
	denied
	superseded
)

// String returns the cause as clients and the log are told it.
func (why cause) String() string {
	return [...]string{"", "disconnected", "denied", "superseded"}[why]
}

// Reasons of an end that the caller of End gives, as clients are told them.
const (
	Draining    = "draining" // the hub closes
	Reloaded    = "reloaded" // the config in force does not admit the connection
	GrantEnded  = "expired"  // the connection's grant has ended
	SourceEnded = "source"   // the shared source that the connection hears has ended
)

// Cause returns why the hub has ended the stream, "" if it has not, or not on request.
func (c *Conn) Cause() string {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	return c.cause.String()
}

// finished reports whether the stream was told to end, though its client may not have taken that yet.
func (c *Conn) finished() bool {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	return c.cause != other
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
	case c.matches:
		c.end(nil)
	default:
		c.end(c.closing(why.String(), spread))
	}
}

// vacate marks the connection's place in the admission as given up, and reports whether it was not before. The caller holds
// shard.mu.
func (c *Conn) vacate() bool {
	first := !c.released
	c.released = true
	return first
}

// returnShare is the share of one stream in the time over which the clients of streams that end together come back.
const returnShare = 2 * time.Millisecond

// maxSpread bounds that time.
const maxSpread = 10 * time.Second

// Spread returns the time over which the clients of n streams that end together come back.
func Spread(n int) time.Duration { return time.Duration(n) * returnShare }

// closing returns the frame that tells a client why its stream ends, and to come back after one to two seconds, or up to spread
// later. It has no id, so the client's last id stays. A client with matchers knows no such event, and gets only the time.
func (c *Conn) closing(reason string, spread time.Duration) []byte {
	retry := time.Second + rand.N(time.Second+min(spread, maxSpread))
	if c.matches {
		return fmt.Appendf(nil, "retry: %d\n\n", retry.Milliseconds())
	}
	return sse.Event{Type: "sse:closing", Data: fmt.Appendf(nil, `{"reason":%q}`, reason), Retry: retry}.Append(nil)
}

// replaced tells a client that a newer stream has taken the place of its own. The retry keeps two pages with the same id from
// taking it from each other for ever.
var replaced = sse.Event{Type: "sse:superseded", Data: []byte("{}"), Retry: time.Hour}.Append(nil)
