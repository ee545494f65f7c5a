package pool

import "sync"

// held has the connections that hold a ticket for one use, by the ticket's name: only one connection at a time may hold it.
var held struct {
	mu sync.Mutex // guards by
	by map[string]*Arrival
}

// enter takes the connection's ticket for one use, if it has one, and reports whether no other connection holds it.
func (a *Arrival) enter() bool {
	if a.Grant.Once == "" {
		return true
	}
	held.mu.Lock()
	defer held.mu.Unlock()
	if held.by[a.Grant.Once] != nil {
		return false
	}
	if held.by == nil {
		held.by = map[string]*Arrival{}
	}
	held.by[a.Grant.Once] = a
	return true
}

// leave releases what a connection that ends, or does not begin, holds: its ticket for one use, and its place in the queue of
// deadlines.
func (a *Arrival) leave() {
	if a.Grant == nil {
		return
	}
	deadlines.remove(a.deadline)
	held.mu.Lock()
	defer held.mu.Unlock()
	if held.by[a.Grant.Once] == a {
		delete(held.by, a.Grant.Once)
	}
}
