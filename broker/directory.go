package broker

import (
	"context"
	"errors"
	"time"
)

// Directory is implemented by brokers whose log several nodes share. In it, each node reports who is
// connected to it, as counts under names that mean nothing to the broker.
type Directory interface {
	// Report renews a node's lease and sets counts. A count of 0 removes a name. With fresh, the counts replace
	// all that the node reported before, and no name that is in both is missing meanwhile. A lease of 0 ends
	// the node. When its lease is over, a node's counts no longer count, and the broker removes them from the
	// engine. Without fresh, the error may wrap ErrForgotten: the engine has lost what the node reported, and
	// the node has to report all of it again, with fresh.
	Report(ctx context.Context, node string, lease time.Duration, fresh bool, counts map[string]int) error
	// Counts returns the sums over all nodes with a lease, under the names given, or under all names if none is
	// given. Names without a count are left out.
	Counts(ctx context.Context, names ...string) (map[string]int, error)
}

// Roster is a Directory that tells its nodes apart. Without one, a hub cannot report that a user is offline, and
// appends a record for each stream that may replace another.
type Roster interface {
	Directory
	// Nodes returns the nodes with a lease, and the counts of each under the names given, or under all names if
	// none is given. Nothing in it is older than the call. A node whose lease is over is listed without counts
	// until Silence after its last report, unless it ended by a lease of 0.
	Nodes(ctx context.Context, names ...string) ([]Node, error)
}

// Node is a node as a Roster lists it.
type Node struct {
	Name   string
	Silent bool // its lease is over, and it has not reported its end
	Counts map[string]int
}

// Silence is how long a node without a lease is listed. It may be cut off from the engine and still hold streams.
const Silence = 30 * time.Second

// Brief is the prefix of names whose counts change often and are small. A broker may store them apart from the others.
const Brief = "~"

// ErrForgotten: the engine has lost what a node reported.
var ErrForgotten = errors.New("the engine has forgotten the node's report")
