package hub

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/sse-push/caddy-sse-push/broker"
)

// Receipt follows one event to the connections of this node, for a publisher that asks for it. The record carries the receipt's
// number through the broker, as the event may come back before Append has returned.
type Receipt struct {
	hub    *Hub
	number uint64
	users  []string // the users that the event is addressed to

	mu      sync.Mutex      // guards all below
	present map[string]bool // users that were connected here at the event's place, whether or not the event reached them
	fates   map[*Conn]fate
	open    int           // the number of fates that are not final
	left    int           // shards that have yet to take the event to their connections
	partial bool          // some connections are not followed
	closed  bool          // Close was called
	settled chan struct{} // signalled when open or left reaches 0
}

// fate is what has become of an event on its way to a connection.
type fate uint8

const (
	meant   fate = iota // the connection is to get it
	given               // the connection's writer has it
	written             // the kernel has it, as the writer has come back for more
	failed              // the connection will not get it
	absent              // the connection is excluded: present, but not to get it
)

// maxFollowed bounds the pairs of an event and a connection that are followed at the same time.
const maxFollowed = 1 << 18

// receipts has the open receipts.
type receipts struct {
	followed atomic.Int64

	mu       sync.Mutex // guards byNumber
	byNumber map[uint64]*Receipt
}

// of returns the receipt with a record's number, or nil if this node has none.
func (rs *receipts) of(number uint64) *Receipt {
	if number == 0 {
		return nil
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return rs.byNumber[number]
}

// Receipt returns a receipt for a record that is about to be published. The caller must Await or Close it.
func (h *Hub) Receipt(record *broker.Record) *Receipt {
	r := &Receipt{
		hub: h, number: rand.Uint64() | 1, // never 0
		fates: map[*Conn]fate{}, left: len(h.shards), settled: make(chan struct{}, 1),
	}
	for _, t := range record.Targets {
		if t.Kind == broker.User {
			r.users = append(r.users, t.Name)
		}
	}
	record.Receipt = r.number
	rs := &h.window.receipts
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.byNumber == nil {
		rs.byNumber = map[uint64]*Receipt{}
	}
	rs.byNumber[r.number] = r
	return r
}

// Close stops following the event, and drops what was counted.
func (r *Receipt) Close() {
	rs := &r.hub.window.receipts
	rs.mu.Lock()
	delete(rs.byNumber, r.number)
	rs.mu.Unlock()

	r.mu.Lock()
	fates := r.fates
	r.fates, r.closed = nil, true // the window may keep the rest of the receipt for long
	r.mu.Unlock()

	rs.followed.Add(-int64(len(fates)))
	for c, f := range fates {
		if f == meant || f == given {
			c.shard.forgive(c, r)
		}
	}
}

// attend records which users were connected at the event's place in the log.
func (r *Receipt) attend(users []string, connections []int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.present = map[string]bool{}
	for i, user := range users {
		r.present[user] = connections[i] > 0
	}
}

// match starts following the event to a connection that hears it. The caller holds shard.mu.
func (r *Receipt) match(c *Conn, e *entry) {
	switch {
	case c.ended:
	case c.excluded(e):
		r.follow(c, absent)
	default:
		r.follow(c, meant)
	}
}

// give records that a connection's writer has the event. The connection may have come later, and resumed. The caller holds
// shard.mu.
func (r *Receipt) give(c *Conn) {
	r.follow(c, given)
	r.become(c, meant, given)
}

// follow adds a connection, unless it is followed already. The caller holds shard.mu.
func (r *Receipt) follow(c *Conn, f fate) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.fates[c]; known || r.closed {
		return
	}
	if followed := &r.hub.window.receipts.followed; followed.Add(1) > maxFollowed {
		followed.Add(-1)
		r.partial = true
		return
	}
	r.fates[c] = f
	if f == absent {
		return
	}
	r.open++
	if c.shard.owed == nil {
		c.shard.owed = map[*Conn][]*Receipt{}
	}
	c.shard.owed[c] = append(c.shard.owed[c], r)
}

// become changes a connection's fate if it is from, and reports whether it was. The caller holds shard.mu.
func (r *Receipt) become(c *Conn, from, to fate) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f, known := r.fates[c]; !known || f != from {
		return false
	}
	r.fates[c] = to
	if to == written || to == failed {
		if r.open--; r.open == 0 {
			r.signal()
		}
	}
	return true
}

// passed records that a shard has taken the event to all of its connections.
func (r *Receipt) passed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left--; r.left == 0 {
		r.signal()
	}
}

func (r *Receipt) signal() {
	select {
	case r.settled <- struct{}{}:
	default:
	}
}

// settle is called when a connection's writer comes for more: what it was given before is written. The caller holds mu.
func (s *shard) settle(c *Conn) {
	s.release(c, func(r *Receipt) bool { return r.become(c, given, written) })
}

// fail gives up what a connection that ends was to get. The caller holds mu.
func (s *shard) fail(c *Conn) {
	s.release(c, func(r *Receipt) bool { return r.become(c, given, failed) || r.become(c, meant, failed) })
	delete(s.owed, c)
}

// forgive removes one receipt of a connection.
func (s *shard) forgive(c *Conn, r *Receipt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.release(c, func(other *Receipt) bool { return other == r })
}

// release removes the receipts of a connection for which done returns true. The caller holds mu.
func (s *shard) release(c *Conn, done func(*Receipt) bool) {
	list, ok := s.owed[c]
	if !ok {
		return
	}
	n := 0
	for _, r := range list {
		if !done(r) {
			list[n] = r
			n++
		}
	}
	clear(list[n:])
	if list = list[:n]; n == 0 {
		delete(s.owed, c)
	} else {
		s.owed[c] = list
	}
}
