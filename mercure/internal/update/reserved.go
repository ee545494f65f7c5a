package update

import (
	"errors"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/matcher"
)

// reservedType is the type of the hub's own updates.
const reservedType = "mercure"

var (
	errReservedType  = errors.New("must not be " + reservedType + ", the type of the hub's own updates")
	errReservedTopic = errors.New("must not be on or below the hub's own path, in any spelling")
)

// Reserved returns the rule for events that are not published by Mercure: they must not pass for updates of the hub itself.
func Reserved(base *matcher.Base) func(*broker.Record) (field string, err error) {
	return func(r *broker.Record) (string, error) {
		if r.Type == reservedType {
			return "event", errReservedType
		}
		for _, t := range r.Targets {
			if t.Kind == broker.Topic && base.Reserved(t.Name) {
				return "topic", errReservedTopic
			}
		}
		return "", nil
	}
}
