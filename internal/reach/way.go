package reach

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Way returns the matchers that a request passes on its way through routes to a handler, as a text that differs if they do. It returns
// "" if it does not find the handler, which may be in a named route.
func Way(routes caddyhttp.RouteList, to caddyhttp.MiddlewareHandler) string {
	return way(routes, nil, to)
}

func way(routes caddyhttp.RouteList, around *enclosure, to caddyhttp.MiddlewareHandler) string {
	for _, route := range routes {
		here := &enclosure{route.MatcherSets, around}
		for _, handler := range route.Handlers {
			if handler == to {
				return here.text()
			}
			if sub, ok := handler.(*caddyhttp.Subroute); ok {
				if text := way(sub.Routes, here, to); text != "" {
					return text
				}
			}
		}
	}
	return ""
}

// text describes all matchers of the enclosure.
func (e *enclosure) text() string {
	var parts []string
	for ; e != nil; e = e.next {
		if len(e.sets) > 0 {
			parts = append(parts, textOf(e.sets))
		}
	}
	return strings.Join(parts, "\n")
}

// textOf describes sets of matchers. The matchers of a set are in no order.
func textOf(sets []caddyhttp.MatcherSet) string {
	var parts []string
	for _, set := range sets {
		var matchers []string
		for _, matcher := range set {
			var text string
			if not, ok := matcher.(*caddyhttp.MatchNot); ok { // its JSON is empty once it has been loaded
				text = textOf(not.MatcherSets)
			} else if b, err := json.Marshal(matcher); err == nil {
				text = string(b)
			}
			matchers = append(matchers, fmt.Sprintf("%T%q", matcher, text))
		}
		slices.Sort(matchers)
		parts = append(parts, strings.Join(matchers, " "))
	}
	return strings.Join(parts, " or ")
}
