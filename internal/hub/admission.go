package hub

import (
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
	Reason string        // rate, connections, per_user, per_ip, memory, draining or broker
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

	mu        sync.Mutex // guards all below
	calm      calm
	limits    Limits
	total     int
	users     map[string]int // connections of each user
	addresses map[string]int // and of each address
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
		a.users, a.addresses, a.empty = map[string]int{}, map[string]int{}, make(chan struct{})
	}
}

// HasRoom returns a *Refusal if no client would be admitted from the address.
func (h *Hub) HasRoom(address string) error {
	h.admission.mu.Lock()
	defer h.admission.mu.Unlock()
	return h.admission.room("", address)
}

// room returns a *Refusal if a limit is reached. The caller holds mu.
func (a *admission) room(user, address string) error {
	full := func(limit, n int) bool { return limit > 0 && n >= limit }
	switch {
	case a.closed:
		return &Refusal{Reason: "draining"}
	case full(a.limits.Connections, a.total):
		return &Refusal{Reason: "connections"}
	case user != "" && full(a.limits.PerUser, a.users[user]):
		return &Refusal{Reason: "per_user"}
	case address != "" && full(a.limits.PerIP, a.addresses[address]):
		return &Refusal{Reason: "per_ip"}
	}
	return nil
}

// enter counts a connection, or returns a *Refusal.
func (a *admission) enter(user, address string) error {
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

func (a *admission) exit(user, address string) {
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

func count(m map[string]int, key string, by int) {
	if key == "" {
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
