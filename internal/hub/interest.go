package hub

import (
	"slices"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/rules"
)

// interest is everything that a connection hears: broadcasts, events for itself or its user, and its topics.
type interest struct {
	id, user string
	topics   *topics
}

// meets reports whether one of the targets matches the interest.
func (in interest) meets(targets []broker.Target) bool {
	return slices.ContainsFunc(targets, func(t broker.Target) bool {
		switch t.Kind {
		case broker.Connection:
			return t.Name == in.id
		case broker.User:
			return t.Name == in.user
		case broker.Topic:
			if m := in.topics.matched(); m != nil {
				return m.hits(t.Name)
			}
			_, exact := slices.BinarySearch(in.topics.exact(), t.Name)
			return exact || slices.ContainsFunc(in.topics.patterned(), func(p string) bool { return rules.Match(p, t.Name) })
		}
		return true
	})
}
