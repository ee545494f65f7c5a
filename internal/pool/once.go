package pool

import (
	"sync"
)

// held are the connections that hold what only one connection may hold at a time: tickets for one use.
var held struct {
	mu sync.Mutex
	by map[string]*Arrival // guarded by mu
}

// enter takes what only one connection may hold, and reports whether it was free.
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

// leave lets go of what a connection held.
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
