package hub

import (
	"slices"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

const (
	// steeringAge is how long a shard remembers entries that steer connections: longer than it takes to look up who a client
	// is. maxSteering bounds their number.
	steeringAge = 2 * time.Minute
	maxSteering = 1 << 14
)

// steering keeps the entries that have steered a shard's connections lately, so that a newcomer obeys them as well: what was
// looked up about it before may be wrong by now (see "Order" in control.go). That of a companion keeps entries of the main hub's
// log. The shard's lock guards it.
type steering struct {
	entries []*entry
	at      []time.Time
	gone    uint64 // seq of the newest that was dropped

	// later has the place that Hub.Arrived gave for connections that came while the shard had not yet reached it. What the
	// shard obeys before that place does not concern them.
	later map[*Conn]uint64
}

func (st *steering) add(e *entry) {
	now := time.Now()
	n := 0
	for n < len(st.entries) && (now.Sub(st.at[n]) > steeringAge || len(st.entries)-n >= maxSteering) {
		st.gone = st.entries[n].seq
		st.entries[n] = nil
		n++
	}
	st.entries, st.at = append(st.entries[n:], e), append(st.at[n:], now)
}

// admit has a new connection obey what has come since a place that Hub.Arrived gave. It ends the connection if that is no
// longer known. reached is the place that the shard has come to.
func (st *steering) admit(c *Conn, arrived, reached uint64) {
	if arrived == 0 {
		return
	}
	if arrived > reached+1 {
		if st.later == nil {
			st.later = map[*Conn]uint64{}
		}
		st.later[c] = arrived
	}
	if st.gone >= arrived {
		c.finish(disconnected, 0) // its client comes back, and is looked up again
		return
	}
	first, _ := slices.BinarySearchFunc(st.entries, arrived, func(e *entry, seq uint64) int { return int(e.seq) - int(seq) })
	for _, e := range st.entries[first:] {
		if c.interest().meets(e.control.targets) {
			c.obey(e, 0)
		}
	}
}

// Arrived returns the value for Subscription.Arrived. Call it before you look up who a client is: what is revoked from then on
// is revoked from this client as well. It is never 0.
func (h *Hub) Arrived() uint64 {
	return h.main.heeded.Load() + 1
}

// follow does what an entry of the main hub's log asks of a companion's connections. The two logs have no common order, so it is
// done at once. Topics are not those of the companion.
func (h *Hub) follow(e *entry) {
	ctl := e.control
	if ctl.kind != broker.Disconnect && ctl.kind != broker.Deny || ctl.targets[0].Kind == broker.Topic {
		return
	}
	for _, s := range h.shards {
		s.mu.Lock()
		s.steer(e)
		s.steering.add(e)
		s.mu.Unlock()
	}
	if revoked := h.revoked.Load(); revoked != nil && ctl.targets[0].Kind == broker.User {
		(*revoked)(ctl.targets[0].Name)
	}
}
