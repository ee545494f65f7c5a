// Package reach finds out which requests to a site can reach a handler: which paths none reaches, and what a request must match on the way.
package reach

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"
)

// Path is a path that a handler answers itself.
type Path struct {
	Name string // what it is to the handler's user, such as "subscribe path"
	Path string
}

// Owner is a handler that answers some paths itself.
type Owner interface {
	OwnPaths() []Path

	// Answers reports whether the Owner answers a GET for a path, and does not pass it on.
	Answers(path string) bool
}

// Unreachable calls report with each path of an Owner in routes that no request reaches, because the routes around the Owner
// match other paths only. It stops looking where the path may be rewritten on the way.
func Unreachable(routes caddyhttp.RouteList, report func(Owner, Path)) {
	unreachable(routes, nil, report)
}

func unreachable(routes caddyhttp.RouteList, around *enclosure, report func(Owner, Path)) {
	for _, route := range routes {
		here := &enclosure{route.MatcherSets, around}
		for _, handler := range route.Handlers {
			switch handler := handler.(type) {
			case *rewrite.Rewrite, rewrite.Rewrite:
				return
			case *caddyhttp.Subroute:
				unreachable(handler.Routes, here, report)
			case Owner:
				for _, own := range handler.OwnPaths() {
					if !here.lets(own.Path) {
						report(handler, own)
					}
				}
			}
		}
	}
}

// Matched reports whether a request for one of the paths can pass a matcher, and which paths the matcher lists. Without a list
// all paths pass.
func Matched(matcher caddy.ModuleMap, paths []Path) (passes bool, listed []string) {
	var patterns caddyhttp.MatchPath
	if raw := matcher["path"]; raw == nil || json.Unmarshal(raw, &patterns) != nil {
		return true, nil
	}
	return slices.ContainsFunc(paths, func(own Path) bool { return pathMatches(patterns, own.Path) }), patterns
}

// enclosure is the matchers that a request must pass on its way to a handler.
type enclosure struct {
	sets caddyhttp.MatcherSets
	next *enclosure
}

// lets reports whether a request for a path may pass. It only looks at matchers of paths.
func (e *enclosure) lets(path string) bool {
	for ; e != nil; e = e.next {
		if len(e.sets) > 0 && !slices.ContainsFunc(e.sets, func(set caddyhttp.MatcherSet) bool { return setLets(set, path) }) {
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
