package hub

import (
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// control is what a record says that steers connections: it ends streams, or adds or takes away topics.
//
// # Order
//
// What a record takes away is not heard from any entry after it, and what it adds is heard from every entry after it, whichever
// way a connection reads the log. Take
//
//	10  an event to the topic room
//	11  Leave: the user u loses room
//	12  an event to the topic room
//
// No connection of u gets 12, and each that had the topic gets 10:
//
//   - A live connection is given 10, then obeys 11, and does not hear 12: its shard goes through the entries in order
//     (shard.deliver, shard.obey).
//   - A connection that reads the window gets no further than 10 until its shard has obeyed 11 (window.readable). It sleeps
//     until then (shard.stall, shard.resume).
//   - A connection that reads the archive gets no page while its shard has not reached the start of the window, as 11 may be
//     among the entries that the window has lost (archive.serve).
//   - A client whose grant was looked up before 11, and whose connection is added after its shard has obeyed 11, obeys it on
//     arrival (steering.admit).
//
// The node as a whole heeds a record even earlier: denials and caches are up to date before a shard obeys it (Hub.heed).
type control struct {
	kind    broker.Kind
	targets []broker.Target
	topics  []string
	ttl     time.Duration
	ends    []string        // claims, of a Supersede
	since   broker.Position // of a repeated Join: where it was made first
	partial bool            // of a repeated Join: there was no room to repeat all
	read    broker.Position // of a repeated Join: what comes after this may have undone it; zero: not known
}

// obey does what an entry of the hub's log asks of the shard's connections. The caller holds mu.
func (s *shard) obey(e *entry) {
	s.steer(e)
	if !s.hub.accompanies() { // a companion remembers what steers the main hub's connections instead
		s.steering.add(e)
	}
}

// steer does what an entry asks of the connections that it is addressed to. The caller holds mu.
func (s *shard) steer(e *entry) {
	var conns []*Conn // all of them first, as the index changes
	for _, t := range e.control.targets {
		s.index.visit(t, func(c *Conn) { conns = append(conns, c) })
	}
	spread := Spread(len(conns) * len(s.hub.shards))
	for _, c := range conns {
		if e.control.kind == broker.Supersede || e.seq >= s.steering.later[c] {
			c.obey(e, spread)
		}
	}
}

// obey does what an entry asks of the connection. If that ends its stream, its client comes back as after End. The caller holds shard.mu.
func (c *Conn) obey(e *entry, spread time.Duration) {
	switch e.control.kind {
	case broker.Disconnect:
		c.finish(disconnected, spread)
	case broker.Deny:
		c.finish(denied, spread)
	case broker.Supersede:
		if c.claimed().endedBy(e.control.ends, e.pos) {
			c.finish(superseded, spread)
		}
	case broker.Join:
		c.join(e.control.topics, e)
	case broker.Leave:
		c.leave(e.control.topics, e)
	}
}

// stall puts a connection to sleep until the shard has come further, and returns true. The caller holds mu.
func (s *shard) stall(c *Conn) bool {
	s.stalled = append(s.stalled, c)
	return true
}

// resume wakes the connections that stalled, as the shard has come further. The caller holds mu.
func (s *shard) resume() {
	for c, arrived := range s.steering.later {
		if s.cursor+1 >= arrived {
			delete(s.steering.later, c)
		}
	}
	for i, c := range s.stalled {
		c.signal()
		s.stalled[i] = nil
	}
	s.stalled = s.stalled[:0]
}
