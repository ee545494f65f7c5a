package pool

import (
	"github.com/sse-push/caddy-sse-push/internal/identity"
)

// Arrival is what a connection keeps of its request, to be held against the settings of a later config. Where
// the request has nothing of its own to keep, all connections of a route share one.
type Arrival struct {
	Path   string
	Page   string            // the origin of the page, unless it is the request's own
	Filled map[string]string // entries of the grant with placeholders of the request, as they came out

	Grant    *identity.Grant // what the client has proved; nil: its word was taken
	deadline *deadline       // when that ends; nil: never
}

// size is how many bytes the connection keeps by it. What connections may share is charged to each, as it is up to clients
// whether they do.
func (a *Arrival) size() int64 {
	const each = 48 // of a string in a map or a list
	n := len(a.Page)
	for _, topic := range a.Filled {
		n += len(topic) + each
	}
	if a.Grant != nil {
		n += len(a.Grant.User) + len(a.Grant.Once)
		for _, topic := range a.Grant.Topics {
			n += len(topic) + each
		}
	}
	return int64(n)
}

// Bytes is about what the arrival keeps in memory. A hub asks, as it remembers those that have gone.
func (a *Arrival) Bytes() int {
	n := 128 + len(a.Page)
	for entry, topic := range a.Filled {
		n += 32 + len(entry) + len(topic)
	}
	if a.Grant != nil {
		for _, topic := range a.Grant.Topics {
			n += 16 + len(topic)
		}
	}
	return n
}
