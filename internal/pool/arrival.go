package pool

import "github.com/sse-push/caddy-sse-push/internal/identity"

// Arrival holds what a connection keeps of its request, so that a later config can be applied to it. Connections whose
// requests have nothing of their own to keep share one Arrival a route.
type Arrival struct {
	Path   string            // of the route
	Page   string            // the origin of the page; "" if it is the host's own
	Filled map[string]string // the route's topics that hold placeholders of the request, with what they came out as

	Grant    *identity.Grant // what the client has proved; nil if its word was taken
	deadline *deadline       // the end of the grant; nil if it never ends
}

// size returns how many bytes a connection is charged for its Arrival. What connections may share is charged to each, since
// it is up to the clients whether they share it.
func (a *Arrival) size() int64 {
	const each = 48 // for a string in a map or a list
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

// Bytes returns about how much memory the Arrival takes. The hub asks, since it remembers connections that have ended.
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
