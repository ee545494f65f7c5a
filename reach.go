package ssepush

import (
	"cmp"
	"fmt"
	"reflect"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-push/caddy-sse-push/internal/reach"
	"github.com/sse-push/caddy-sse-push/internal/request"
)

// warnUnreachable logs which paths of the directives in a server no request can reach.
func warnUnreachable(routes caddyhttp.RouteList) {
	reach.Unreachable(routes, func(owner reach.Owner, own reach.Path) {
		if h, ok := owner.(*Handler); ok {
			h.log.Warn(fmt.Sprintf("no request reaches the %s %s: the routes around this sse_push (its matcher, handle, route) match other paths only; "+
				"let them match it as well", own.Name, own.Path))
		}
	})
	reach.Shadowed(routes, func(owner reach.Owner, own reach.Path, by reach.Owner) {
		h, ok := owner.(*Handler)
		before, _ := by.(*Handler)
		if ok && before != nil && !before.servesFor(h, own.Path) {
			h.log.Warn(fmt.Sprintf("no request reaches the %s %s: an sse_push before it, of the hub %q, answers that path; give it another path",
				own.Name, own.Path, cmp.Or(before.Hub, "default")))
		}
	})
}

// servesFor reports whether a path is on the internal route of both handlers, and h answers there as other does.
func (h *Handler) servesFor(other *Handler, path string) bool {
	return h.Internal != nil && request.IsBelow(path, h.Internal.Prefix) && reflect.DeepEqual(h.Internal, other.Internal) &&
		h.Hub == other.Hub && other.Relay == nil
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
	for _, p := range h.protocols {
		paths = append(paths, p.paths...)
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
