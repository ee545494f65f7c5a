package hub

import "time"

// answers are what this node has to say to receipts of other nodes. nodes.mu guards them.
type answers struct {
	counts map[string]int // as the directory has them
	given  []answer       // oldest first
}

// answer is what one receipt was told.
type answer struct {
	names []string
	until time.Time
}

// current returns the counts of answers that may still be asked for. The caller holds nodes.mu.
func (a *answers) current() map[string]int {
	n, now := 0, time.Now()
	for n < len(a.given) && !now.Before(a.given[n].until) {
		for _, name := range a.given[n].names {
			delete(a.counts, name)
		}
		n++
	}
	a.given = a.given[n:]
	return a.counts
}
