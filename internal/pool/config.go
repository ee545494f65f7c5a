package pool

import (
	"slices"

	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/identity"
)

// config is what one config of Caddy says about a hub.
type config struct {
	generation uint64 // a newer config has a greater one
	settings   Settings
	routes     []Route
	forbidden  []hub.Rule
	log        *zap.Logger // names the hub
}

// recheck applies the config to a connection that was admitted under an earlier one, and reports whether it may stay. If
// several sites have a route of the same path, the connection may have what any of them allows.
func (cfg *config) recheck(c *hub.Conn) (stays bool) {
	a, ok := c.Attached.(*Arrival)
	if !ok {
		return true
	}
	var own []Route
	for _, route := range cfg.routes {
		if route.Path() == a.Path && route.Admits(a) {
			own = append(own, route)
		}
	}
	if len(own) == 0 {
		return false
	}
	if c.InCompanion() { // its topics are granted by no route
		return true
	}
	var grants []identity.Identity
	c.Narrow(func(topic string) bool {
		if grants == nil {
			for _, route := range own {
				grants = append(grants, route.Grants(a, c.User))
			}
		}
		return slices.ContainsFunc(grants, func(id identity.Identity) bool { return id.Granted(topic) })
	})
	return true
}

// grants reports whether a user's connection may have a topic, by what is attached to the connection.
func (cfg *config) grants(attached hub.Attachment, user, topic string) bool {
	a, ok := attached.(*Arrival)
	return ok && slices.ContainsFunc(cfg.routes, func(route Route) bool {
		return route.Path() == a.Path && route.Grants(a, user).Granted(topic)
	})
}
