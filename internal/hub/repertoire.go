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

// enter adds the patterns of a connection, or returns a *Refusal. Patterns that other connections have cost nothing more.
func (r *repertoire) enter(m *Matchers, address uint64) error {
	if m == nil || len(m.Patterns) == 0 {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	more := 0
	for _, p := range m.Patterns {
		if r.patterns[p] == nil {
			more += p.Effort()
		}
	}
	if more > 0 && (r.effort+more > maxEffort || address != 0 && r.brought[address]+more > maxEffort/4) {
		return &Refusal{Reason: "patterns"}
	}
	if r.patterns == nil {
		r.patterns, r.brought = map[Pattern]*repeated{}, map[uint64]int{}
	}
	for _, p := range m.Patterns {
		if r.patterns[p] == nil {
			r.patterns[p] = &repeated{address: address}
			r.effort += p.Effort()
			count(r.brought, address, p.Effort())
		}
		r.patterns[p].connections++
	}
	return nil
}

// exit undoes enter.
func (r *repertoire) exit(m *Matchers) {
	if m == nil || len(m.Patterns) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range m.Patterns {
		held := r.patterns[p]
		if held.connections--; held.connections == 0 {
			delete(r.patterns, p)
			r.effort -= p.Effort()
			count(r.brought, held.address, -p.Effort())
		}
	}
}
