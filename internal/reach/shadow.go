package reach

import (
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"
)

// Shadowed calls report with each path of an Owner in routes that another one, by, answers in its place, since every request on its way to
// the Owner reaches by first. Like Unreachable, it stops looking where the path may be rewritten on the way.
func Shadowed(routes caddyhttp.RouteList, report func(owner Owner, own Path, by Owner)) {
	new(shadows).look(routes, nil, report)
}

// shadows holds the Owners met so far.
type shadows struct{ met []placed }

// placed is an Owner with the matchers around it.
type placed struct {
	Owner
	place *enclosure
}

func (s *shadows) look(routes caddyhttp.RouteList, around *enclosure, report func(Owner, Path, Owner)) {
	for _, route := range routes {
		here := around
		if len(route.MatcherSets) > 0 || route.Group != "" { // of a group, only one route runs
			here = &enclosure{route.MatcherSets, around}
		}
		for _, handler := range route.Handlers {
			switch handler := handler.(type) {
			case *rewrite.Rewrite, rewrite.Rewrite:
				return
			case *caddyhttp.Subroute:
				s.look(handler.Routes, here, report)
			case Owner:
				for _, own := range handler.OwnPaths() {
					for _, before := range s.met {
						if here.within(before.place) && before.Answers(own.Path) {
							report(handler, own, before.Owner)
							break
						}
					}
				}
				s.met = append(s.met, placed{handler, here})
			}
		}
	}
}

// within reports whether e is the enclosure outer, or lies in it.
func (e *enclosure) within(outer *enclosure) bool {
	for ; e != outer && e != nil; e = e.next {
	}
	return e == outer
}
