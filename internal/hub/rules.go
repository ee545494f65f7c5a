package hub

import (
	"sync/atomic"

	"github.com/sse-push/caddy-sse-push/broker"
)

// Rule returns what is wrong with an event that is published by the product's own routes, and the field that is at fault. It
// returns nil for an event that may be published.
type Rule func(*broker.Record) (field string, err error)

// Rules are those of the protocols that a hub speaks beside its own: what they keep for themselves.
type Rules struct{ list atomic.Pointer[[]Rule] }

// Forbid replaces the rules.
func (rs *Rules) Forbid(rules []Rule) { rs.list.Store(&rules) }

// Forbidden returns what a rule finds wrong with an event, and the field that is at fault.
func (rs *Rules) Forbidden(r *broker.Record) (field string, err error) {
	if rules := rs.list.Load(); rules != nil {
		for _, rule := range *rules {
			if field, err = rule(r); err != nil {
				return field, err
			}
		}
	}
	return "", nil
}
