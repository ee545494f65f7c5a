package ssepush

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/sse-push/caddy-sse-push/broker/membroker"
	"github.com/sse-push/caddy-sse-push/internal/pool"
)

// group is a hub of a config with its handlers.
type group struct {
	ref    *pool.Ref
	routes []*Handler // those with a subscribe route
}

// join adds a handler to its hub, with the settings and the broker that the handler gives, and returns the reference to the hub. The hub opens
// when the app starts. source is the handler as JSON: if a site has two listeners, its one directive comes as two handlers
// that are the same.
func (a *App) join(h *Handler, s pool.Settings, broker pool.BrokerModule, source []byte) (*pool.Ref, error) {
	name := s.Hub
	if len(a.hubs) > 0 && (name == "") != (a.unnamed != nil) || a.unnamed != nil && !bytes.Equal(a.unnamed, source) {
		return nil, errors.New("hub is missing: as soon as a config has two sse_push handlers, each must name its hub")
	}
	if name == "" {
		a.unnamed = source
	}
	g := a.hubs[name]
	if g == nil {
		g = &group{ref: pool.NewRef(cmp.Or(name, "default"), membroker.Module{}, a.ctx.Logger())}
		a.hubs[name] = g
	}
	if err := g.ref.Join(&s, broker); err != nil {
		return nil, err
	}
	if h.Path != "" {
		g.routes = append(g.routes, h)
	}
	return g.ref, nil
}

// warnUnheard logs a warning if presence goes to a topic that no subscribe route of the hub can grant.
func (g *group) warnUnheard() {
	p := g.ref.Settings().Presence
	if p == nil || len(g.routes) == 0 || slices.ContainsFunc(g.routes, func(h *Handler) bool { return h.chain.MayGrant(p.Topic) }) {
		return
	}
	g.routes[0].log.Warn(fmt.Sprintf("presence %s: no sse_push of the hub grants that topic, so no client can hear it; add it to topics", p.Topic))
}

// warnKeyless logs a warning if a node cannot tell whether another node's connection belongs to the client that posts to it.
func (g *group) warnKeyless() {
	if g.ref.Settings().ClientKey != "" || !g.ref.Shared() {
		return
	}
	for _, h := range g.routes {
		if h.TwoWay {
			h.log.Warn("two_way: without a client_key that all nodes share, a client's posts are accepted only by the node that holds its stream")
		}
	}
}
