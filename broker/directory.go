package broker

import (
	"context"
	"time"
)

// Directory is what a broker is besides whose log several nodes share: each node leaves there who is
// connected to it. Entries are counts under names that mean nothing to the broker.
type Directory interface {
	// Report renews a node's lease and sets counts; 0 takes a name out. With fresh, all that the node had
	// reported before is forgotten first. A lease of 0 ends the node. What a node has reported does not count
	// any more once its lease is over, and the broker takes it out of the engine.
	Report(ctx context.Context, node string, lease time.Duration, fresh bool, counts map[string]int) error
	// Counts sums what the nodes with a lease have under the names given, or under all where none is. Names
	// that nobody has are left out.
	Counts(ctx context.Context, names ...string) (map[string]int, error)
}
