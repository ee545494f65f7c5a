package ssepush

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-push/caddy-sse-push/internal/reach"
)

// warnUnreachable logs which paths of the directives in a site no request can reach.
func warnUnreachable(routes caddyhttp.RouteList) {
	reach.Unreachable(routes, func(owner reach.Owner, own reach.Path) {
		if h, ok := owner.(*Handler); ok {
			h.log.Warn(fmt.Sprintf("no request reaches the %s %s: the routes around this sse_push (its matcher, handle, route) match other paths only; "+
				"let them match it as well", own.Name, own.Path))
		}
	})
}

// OwnPaths implements reach.Owner.
func (h *Handler) OwnPaths() (paths []reach.Path) {
	if h.Path != "" {
		paths = append(paths, reach.Path{Name: "subscribe path", Path: h.Path})
	}
	if h.Internal != nil {
		paths = append(paths, reach.Path{Name: "internal route", Path: h.Internal.Prefix + "/publish"})
	}
	if h.Inspector != nil {
		paths = append(paths, reach.Path{Name: "inspector", Path: h.Inspector.Path + "/"})
	}
	return paths
}

// checkMatcher reports that a directive's own matcher keeps all requests from it.
func (h *Handler) checkMatcher(matcher caddy.ModuleMap) error {
	paths := h.OwnPaths()
	passes, listed := reach.Matched(matcher, paths)
	if passes || len(paths) == 0 {
		return nil
	}
	return fmt.Errorf("no request reaches the %s %s: the matcher (%s) matches other paths only; leave it out, as the directive answers its own paths alone",
		paths[0].Name, paths[0].Path, strings.Join(listed, " "))
}

// warnUnheard logs that a hub publishes who comes and goes to a topic that none of its subscribe routes can grant.
func (g *group) warnUnheard() {
	p := g.ref.Settings().Presence
	if p == nil || len(g.routes) == 0 || slices.ContainsFunc(g.routes, func(h *Handler) bool { return h.chain.MayGrant(p.Topic) }) {
		return
	}
	g.routes[0].log.Warn(fmt.Sprintf("presence %s: no sse_push of the hub grants that topic, so no client can hear it; add it to topics", p.Topic))
}

// warnKeyless logs that a node cannot tell which connections of other nodes are a poster's own.
func (g *group) warnKeyless() {
	if g.ref.Settings().ClientKey != "" || !g.ref.Shared() {
		return
	}
	for _, h := range g.routes {
		if h.TwoWay {
			h.log.Warn("two_way: without a client_key that all nodes have, what a client posts is taken only by the node that its stream is on")
		}
	}
}
