package broker

import (
	"context"
	"errors"
	"time"
)

// Directory is implemented by brokers whose log several nodes share: each node leaves there who is
// connected to it. Entries are counts under names that mean nothing to the broker.
type Directory interface {
	// Report renews a node's lease and sets counts; 0 takes a name out. With fresh, the counts replace all
	// that the node had reported before, and no name that is in both is missing meanwhile. A lease of 0 ends
	// the node. What a node has reported does not count any more once its lease is over, and the broker takes
	// it out of the engine. Without fresh, the error may wrap ErrForgotten: the engine does not have what the
	// node had reported, and the node has to begin afresh.
	Report(ctx context.Context, node string, lease time.Duration, fresh bool, counts map[string]int) error
	// Counts sums what the nodes with a lease have under the names given, or under all where none is. Names
	// that nobody has are left out.
	Counts(ctx context.Context, names ...string) (map[string]int, error)
}

// Roster is a Directory that tells its nodes apart. Without one a hub cannot say that a user is offline, and
// appends a record for each stream that may take the place of another.
type Roster interface {
	Directory
	// Nodes lists the nodes with a lease, with what each has under the names given, or under all where none is.
	// It returns nothing older than the call. A node whose lease is over is listed as well, without counts,
	// until Silence after its last report; one that ended by a lease of 0 is not.
	Nodes(ctx context.Context, names ...string) ([]Node, error)
}

// Node is a node as a Roster lists it.
type Node struct {
	Name   string
	Silent bool // its lease is over, and it has not said that it ends
	Counts map[string]int
}

// Silence is how long a node without a lease is listed. It may be cut off from the engine, and hold streams still.
const Silence = 30 * time.Second

// Brief begins the names of counts that change often and are small. A broker may keep them apart from the others.
const Brief = "~"

// ErrForgotten: the engine does not have what a node has reported.
var ErrForgotten = errors.New("the engine has forgotten the node's report")
