package hub

import (
	"hash/maphash"
	"sync"
	"time"
)

// Limits bound a hub's load; zero means no limit.
type Limits struct {
	Connections int
	PerUser     int
	PerIP       int
	Pending     int64 // bytes that may wait for one connection
	Memory      int64 // bytes that may wait for all connections
	Rate        int   // new connections per second
}

// Refusal is why a client is not admitted now. It may try again later.
type Refusal struct {
	Reason string        // rate, connections, per_user, per_ip, memory, patterns, draining or broker
	Err    error         // the cause, or nil
	Again  time.Duration // how long the client is to wait at least; 0 if it may come back at once
	Latest time.Duration // and at most; 0 if that does not matter
}

func (r *Refusal) Error() string {
	if r.Err != nil {
		return r.Reason + ": " + r.Err.Error()
	}
	return r.Reason
}

func (r *Refusal) Unwrap() error { return r.Err }

// admission counts connections.
type admission struct {
	rate rate

	seed maphash.Seed

	mu        sync.Mutex // guards all below
	calm      calm
	limits    Limits
	total     int
	users     map[string]int   // connections of each user
	addresses map[uint64]int32 // and of each address, by its key
	closed    bool
	empty     chan struct{} // closed when there are no connections after close
	who       *attendance
}

func (a *admission) configure(l Limits) {
	a.rate.configure(l.Rate, time.Now())
	a.mu.Lock()
	defer a.mu.Unlock()
	a.limits = l
	if a.users == nil {
		a.users, a.addresses, a.empty = map[string]int{}, map[uint64]int32{}, make(chan struct{})
	}
}

// key returns what stands for an address, which takes less memory than the address; 0 stands for none. That two addresses of a
// hundred thousand have the same key is as likely as one in a billion, and clients cannot find such addresses.
func (a *admission) key(address string) uint64 {
	if address == "" {
		return 0
	}
	return max(1, maphash.String(a.seed, address))
}

// HasRoom returns a *Refusal if no client would be admitted from the address.
func (h *Hub) HasRoom(address string) error {
	h.admission.mu.Lock()
	defer h.admission.mu.Unlock()
	return h.admission.room("", h.admission.key(address))
}

// room returns a *Refusal if a limit is reached. The caller holds mu.
func (a *admission) room(user string, address uint64) error {
	full := func(limit, n int) bool { return limit > 0 && n >= limit }
	switch {
	case a.closed:
		return &Refusal{Reason: "draining"}
	case full(a.limits.Connections, a.total):
		return &Refusal{Reason: "connections"}
	case user != "" && full(a.limits.PerUser, a.users[user]):
		return &Refusal{Reason: "per_user"}
	case address != 0 && full(a.limits.PerIP, int(a.addresses[address])):
		return &Refusal{Reason: "per_ip"}
	}
	return nil
}

// enter counts a connection, or returns a *Refusal.
func (a *admission) enter(user string, address uint64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.room(user, address); err != nil {
		return err
	}
	a.total++
	count(a.users, user, 1)
	count(a.addresses, address, 1)
	if a.users[user] == 1 {
		a.who.arrived(user)
	}
	if a.calm.begins(a.total) {
		a.calm.timer = time.AfterFunc(calmAfter, a.settle)
	}
	return nil
}

// settle is called by the timer of a storm.
func (a *admission) settle() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calm.settle(a.total)
}

func (a *admission) exit(user string, address uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.total--
	a.calm.after = min(a.calm.after, a.total)
	count(a.users, user, -1)
	if user != "" && a.users[user] == 0 {
		a.who.left(user)
	}
	count(a.addresses, address, -1)
	if a.closed && a.total == 0 {
		close(a.empty)
	}
}

func count[K comparable, N int | int32](m map[K]N, key K, by N) {
	var none K
	if key == none {
		return
	}
	if m[key] += by; m[key] == 0 {
		delete(m, key)
	}
}

func (a *admission) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.total
}

// close refuses all new connections.
func (a *admission) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.closed && a.total == 0 {
		close(a.empty)
	}
	a.closed = true
	a.calm.stop()
}

func (a *admission) isClosed() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.closed
}

// Arrive asks for admission before it is known which user a client is. The error is a *Refusal.
func (h *Hub) Arrive(address string) error {
	if ok, again := h.admission.rate.take(address, time.Now()); !ok {
		return &Refusal{Reason: "rate", Again: again}
	}
	return nil
}
