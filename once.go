package ssepush

import "sync"

// held are the connections that hold what only one connection may hold at a time: tickets for one use.
var held struct {
	mu sync.Mutex
	by map[string]*arrival // guarded by mu
}

// enter takes what only one connection may hold, and reports whether it was free.
func (a *arrival) enter() bool {
	if a.grant.Once == "" {
		return true
	}
	held.mu.Lock()
	defer held.mu.Unlock()
	if held.by[a.grant.Once] != nil {
		return false
	}
	if held.by == nil {
		held.by = map[string]*arrival{}
	}
	held.by[a.grant.Once] = a
	return true
}

// leave lets go of what a connection held.
func (a *arrival) leave() {
	if a.grant == nil {
		return
	}
	deadlines.remove(a.deadline)
	held.mu.Lock()
	defer held.mu.Unlock()
	if held.by[a.grant.Once] == a {
		delete(held.by, a.grant.Once)
	}
}
