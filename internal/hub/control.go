package hub

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

// control is what a record says that steers connections. It has its place among the events: a shard obeys it when all
// before it has been taken to its connections, and before anything behind it is, and no connection reads the window
// past one that its shard has yet to obey.
type control struct {
	kind    broker.Kind
	targets []broker.Target
	topics  []string
	ttl     time.Duration
	ends    []string        // claims, of a Supersede
	since   broker.Position // of a repeated Join: where it was made first
	partial bool            // there are more to repeat
	read    broker.Position // of a repeated Join: what stands behind this may have undone it; zero: that is not known
}

// cause is why a stream was ended by the hub.
type cause uint8

const (
	other cause = iota
	disconnected
	denied
	superseded
)

// Cause is why the hub has ended the stream, "" where nobody asked for it.
func (c *Conn) Cause() string {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	return [...]string{"", "disconnected", "denied", "superseded"}[c.cause]
}

// finished reports whether the stream was told to end, though its client may not have taken that yet.
func (c *Conn) finished() bool {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	return c.cause != other
}

// finish ends the stream. Its place in the admission is free at once, and its user has left: a user with as many as he may
// have could not come back otherwise until the old stream's client has been noticed to be dead, and who asks for the users
// would find one who was thrown out. The caller holds shard.mu.
func (c *Conn) finish(why cause) {
	if c.ended {
		return
	}
	c.cause = why
	c.shard.hub.unclaim(c)
	if c.vacate() {
		c.shard.hub.admission.exit(c.User, c.address)
		c.shard.hub.nodes.dismiss(c.User, nil)
	}
	if why == superseded {
		c.end(farewell)
	} else {
		c.end(nil)
	}
}

// vacate reports whether the connection's place in the admission is still to be given up, once. The caller holds shard.mu.
func (c *Conn) vacate() bool {
	first := !c.released
	c.released = true
	return first
}

// farewell tells a client whose stream a newer one has taken the place of. If it is another page, the two are not to take
// it from each other for ever.
var farewell = sse.Event{Type: "sse:superseded", Data: []byte("{}"), Retry: time.Hour}.Append(nil)

// obey does what an entry asks for. The caller holds mu.
func (s *shard) obey(e *entry) {
	var conns []*Conn // all of them first, as the index changes
	for _, t := range e.control.targets {
		s.index.visit(t, func(c *Conn) { conns = append(conns, c) })
	}
	for _, c := range conns {
		if e.control.kind == broker.Supersede || e.seq >= s.steering.later[c] {
			c.obey(e)
		}
	}
	s.steering.add(e)
}

// obey does what an entry asks of the connection. The caller holds shard.mu.
func (c *Conn) obey(e *entry) {
	switch e.control.kind {
	case broker.Disconnect:
		c.finish(disconnected)
	case broker.Deny:
		c.finish(denied)
	case broker.Supersede:
		if c.claimed().endedBy(e.control.ends, e.pos) {
			c.finish(superseded)
		}
	case broker.Join:
		c.join(e.control.topics, e)
	case broker.Leave:
		c.leave(e.control.topics, e)
	}
}

const (
	// steeringAge is how long a shard remembers what steers connections, which is longer than it takes to look up who a
	// client is. maxSteering bounds how much of it.
	steeringAge = 2 * time.Minute
	maxSteering = 1 << 14
)

// steering is what has steered a shard's connections lately. Who has come meanwhile is held to it: what was looked up
// before it may be wrong by now. The shard's lock guards it.
type steering struct {
	entries []*entry
	at      []time.Time
	gone    uint64 // seq of the newest that is forgotten

	later map[*Conn]uint64 // connections that came when the shard was behind what Hub.Arrived said: that does not concern them
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

// catchUp holds a connection to what has come since a place that Hub.Arrived gave, and to nothing before, though the shard
// may have come only to an earlier one.
func (st *steering) catchUp(c *Conn, arrived, shard uint64) {
	if arrived == 0 {
		return
	}
	if arrived > shard+1 {
		if st.later == nil {
			st.later = map[*Conn]uint64{}
		}
		st.later[c] = arrived
	}
	if st.gone >= arrived {
		c.finish(disconnected) // and it comes again
		return
	}
	first, _ := slices.BinarySearchFunc(st.entries, arrived, func(e *entry, seq uint64) int { return int(e.seq) - int(seq) })
	for _, e := range st.entries[first:] {
		if c.interest().meets(e.control.targets) {
			c.obey(e)
		}
	}
}

// Arrived is to be called before it is looked up who a client is, for Subscription.Arrived: what is revoked from then on
// is revoked from this client, too. It is never 0.
func (h *Hub) Arrived() uint64 {
	return h.heeded.Load() + 1
}

// stall puts a connection to sleep until the shard has come further. The caller holds mu. It reports true.
func (s *shard) stall(c *Conn) bool {
	s.stalled = append(s.stalled, c)
	return true
}

// resume wakes those that stalled, now that the shard has come further. The caller holds mu.
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

// ErrDenied: the user is not let in for some time.
var ErrDenied = errors.New("the user is denied")

// denials are the users who are not let in.
type denials struct {
	mu    sync.Mutex
	until map[string]time.Time
	swept time.Time
}

// Denied reports whether a user is not let in now.
func (h *Hub) Denied(user string) bool {
	d := &h.denials
	d.mu.Lock()
	defer d.mu.Unlock()
	until, ok := d.until[user]
	return ok && time.Now().Before(until)
}

func (d *denials) set(user string, until time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if d.until == nil {
		d.until = map[string]time.Time{}
	}
	if d.until[user] = until; now.Sub(d.swept) < time.Minute {
		return
	}
	d.swept = now
	for name, until := range d.until {
		if !now.Before(until) {
			delete(d.until, name)
		}
	}
}

// OnRevoke sets what is called, on every node and before the streams end, with each user whom something is taken from;
// "" stands for anyone.
func (h *Hub) OnRevoke(f func(user string)) { h.revoked.Store(&f) }

// heed does what an entry asks of the node as a whole, before its connections are told.
func (h *Hub) heed(e *entry) {
	ctl := e.control
	if ctl.kind == broker.Supersede || ctl.kind == broker.Join {
		return
	}
	revoked := h.revoked.Load()
	for _, t := range ctl.targets {
		user := ""
		switch t.Kind {
		case broker.User:
			user = t.Name
			if ctl.kind == broker.Deny {
				h.denials.set(user, e.at.Add(ctl.ttl))
			}
		case broker.Connection:
			if c := h.connection(t.Name); c == nil || c.User == "" {
				continue
			} else {
				user = c.User
			}
		}
		if revoked != nil {
			(*revoked)(user)
		}
	}
}
