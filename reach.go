package ssepush

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"
)

// routeAround is what a request has to pass on its way to a directive.
type routeAround struct {
	sets caddyhttp.MatcherSets
	next *routeAround
}

// lets reports whether a request for a path may pass. Of the matchers, only those of paths are asked.
func (a *routeAround) lets(path string) bool {
	for ; a != nil; a = a.next {
		if len(a.sets) > 0 && !slices.ContainsFunc(a.sets, func(set caddyhttp.MatcherSet) bool { return setLets(set, path) }) {
			return false
		}
	}
	return true
}

func setLets(set caddyhttp.MatcherSet, path string) bool {
	for _, matcher := range set {
		var patterns caddyhttp.MatchPath
		switch m := matcher.(type) {
		case caddyhttp.MatchPath:
			patterns = m
		case *caddyhttp.MatchPath:
			patterns = *m
		default:
			continue
		}
		if !pathMatches(patterns, path) {
			return false
		}
	}
	return true
}

func pathMatches(patterns caddyhttp.MatchPath, path string) bool {
	if slices.ContainsFunc(patterns, func(p string) bool { return strings.Contains(p, "{") }) {
		return true // only a request can tell
	}
	ctx := context.WithValue(context.Background(), caddy.ReplacerCtxKey, caddy.NewReplacer())
	match, err := patterns.MatchWithError((&http.Request{URL: &url.URL{Path: path}}).WithContext(ctx))
	return match || err != nil
}

// warnUnreachable logs which paths of the directives in a site no request can reach, because the routes around them
// match other paths only. Where a path is rewritten on the way, nothing is said.
func warnUnreachable(routes caddyhttp.RouteList, around *routeAround) {
	for _, route := range routes {
		here := &routeAround{route.MatcherSets, around}
		for _, handler := range route.Handlers {
			switch handler := handler.(type) {
			case *rewrite.Rewrite, rewrite.Rewrite:
				return
			case *caddyhttp.Subroute:
				warnUnreachable(handler.Routes, here)
			case *Handler:
				for _, own := range handler.ownPaths() {
					if !here.lets(own.path) {
						handler.log.Warn(fmt.Sprintf("no request reaches the %s %s: the routes around this sse_push (its matcher, handle, route) match other paths only; "+
							"let them match it as well", own.name, own.path))
					}
				}
			}
		}
	}
}

// ownPath is a path that a handler answers.
type ownPath struct{ name, path string }

func (h *Handler) ownPaths() (paths []ownPath) {
	if h.Path != "" {
		paths = append(paths, ownPath{"subscribe path", h.Path})
	}
	if h.Internal != nil {
		paths = append(paths, ownPath{"internal route", h.Internal.Prefix + "/publish"})
	}
	if h.Inspector != nil {
		paths = append(paths, ownPath{"inspector", h.Inspector.Path + "/"})
	}
	return paths
}

// checkMatcher reports that a directive's own matcher keeps all requests from it.
func (h *Handler) checkMatcher(matcher caddy.ModuleMap) error {
	var patterns caddyhttp.MatchPath
	if raw := matcher["path"]; raw == nil || json.Unmarshal(raw, &patterns) != nil {
		return nil
	}
	paths := h.ownPaths()
	if len(paths) == 0 || slices.ContainsFunc(paths, func(own ownPath) bool { return pathMatches(patterns, own.path) }) {
		return nil
	}
	return fmt.Errorf("no request reaches the %s %s: the matcher (%s) matches other paths only; leave it out, as the directive answers its own paths alone",
		paths[0].name, paths[0].path, strings.Join(patterns, " "))
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
