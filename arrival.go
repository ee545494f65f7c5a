package ssepush

import "github.com/sse-push/caddy-sse-push/internal/identity"

// arrival is what a connection keeps of its request, to be held against the settings of a later config. Where
// the request has nothing of its own to keep, all connections of a route share one.
type arrival struct {
	path   string
	page   string            // the origin of the page, unless it is the request's own
	filled map[string]string // entries of the grant with placeholders of the request, as they came out

	grant    *identity.Grant // what the client has proved; nil: its word was taken
	deadline *deadline       // when that ends; nil: never
}

// size is how many bytes the connection keeps by it. What connections may share is charged to each, as it is up to clients
// whether they do.
func (a *arrival) size() int64 {
	const each = 48 // of a string in a map or a list
	n := len(a.page)
	for _, topic := range a.filled {
		n += len(topic) + each
	}
	if a.grant != nil {
		n += len(a.grant.User) + len(a.grant.Once)
		for _, topic := range a.grant.Topics {
			n += len(topic) + each
		}
	}
	return int64(n)
}

// Bytes is about what the arrival keeps in memory. A hub asks, as it remembers those that have gone.
func (a *arrival) Bytes() int {
	n := 128 + len(a.page)
	for entry, topic := range a.filled {
		n += 32 + len(entry) + len(topic)
	}
	if a.grant != nil {
		for _, topic := range a.grant.Topics {
			n += 16 + len(topic)
		}
	}
	return n
}
