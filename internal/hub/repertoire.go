package hub

import "sync"

// repertoire has the patterns that the connections of a hub listen to. It bounds how long they take together, as any client may bring
// patterns of its own, and each event may have to be tried with all of them.
type repertoire struct {
	mu       sync.Mutex // guards all below
	patterns map[Pattern]*repeated
	effort   int            // of all patterns
	brought  map[uint64]int // and of those that each address has brought, by its key
}

// repeated is a pattern that some connections have.
type repeated struct {
	connections int
	address     uint64 // the key of that which brought it first
}

// maxEffort is about how long the patterns of a hub may take for one topic, in tenths of a microsecond. One address may bring a quarter of
// that.
const maxEffort = 200_000

// enter adds the patterns of a connection, and reports whether there is room. Patterns that other connections have cost nothing more.
func (r *repertoire) enter(patterns []Pattern, address uint64) bool {
	if len(patterns) == 0 {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	more := 0
	for _, p := range patterns {
		if r.patterns[p] == nil {
			more += p.Effort()
		}
	}
	if more > 0 && (r.effort+more > maxEffort || address != 0 && r.brought[address]+more > maxEffort/4) {
		return false
	}
	if r.patterns == nil {
		r.patterns, r.brought = map[Pattern]*repeated{}, map[uint64]int{}
	}
	for _, p := range patterns {
		if r.patterns[p] == nil {
			r.patterns[p] = &repeated{address: address}
			r.add(address, p.Effort())
		}
		r.patterns[p].connections++
	}
	return true
}

// exit undoes enter.
func (r *repertoire) exit(patterns []Pattern) {
	if len(patterns) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range patterns {
		held := r.patterns[p]
		if held.connections--; held.connections == 0 {
			delete(r.patterns, p)
			r.add(held.address, -p.Effort())
		}
	}
}

// add counts the effort of a pattern that an address has brought. The caller holds mu.
func (r *repertoire) add(address uint64, effort int) {
	r.effort += effort
	if address == 0 { // it does not count
		return
	}
	if r.brought[address] += effort; r.brought[address] == 0 {
		delete(r.brought, address)
	}
}
