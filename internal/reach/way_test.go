package reach

import (
	"net/http"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

type handler struct{ name string }

func (*handler) ServeHTTP(http.ResponseWriter, *http.Request, caddyhttp.Handler) error { return nil }

// Two ways through routes have different texts if a request may pass one and not the other, and the same text in every config.
func TestWay(t *testing.T) {
	type sets = caddyhttp.MatcherSets
	path, header := &caddyhttp.MatchPath{"/clock"}, &caddyhttp.MatchHeader{"X-Inner": {"yes"}}
	not := func(m any) any { return &caddyhttp.MatchNot{MatcherSets: []caddyhttp.MatcherSet{{m}}} }
	to := &handler{"the one"}
	route := func(s sets, handlers ...caddyhttp.MiddlewareHandler) caddyhttp.RouteList {
		return caddyhttp.RouteList{{MatcherSets: s, Handlers: handlers}}
	}
	within := func(s sets, routes caddyhttp.RouteList) caddyhttp.RouteList {
		return route(s, &caddyhttp.Subroute{Routes: routes})
	}
	other := route(sets{{path}}, &handler{"another"})
	ways := map[string][]caddyhttp.RouteList{
		"no matcher":       {route(nil, to), within(nil, route(nil, to)), route(nil, &handler{"another"}, to)},
		"a path":           {route(sets{{path}}, to), within(sets{{path}}, route(nil, to)), append(other, route(sets{{path}}, to)...)},
		"a path, another":  {route(sets{{&caddyhttp.MatchPath{"/other"}}}, to)},
		"path and header":  {route(sets{{path, header}}, to), route(sets{{header, path}}, to)},
		"path or header":   {route(sets{{path}, {header}}, to)},
		"path, in header":  {within(sets{{header}}, route(sets{{path}}, to))},
		"not the header":   {route(sets{{not(header)}}, to)},
		"not the path":     {route(sets{{not(path)}}, to)},
		"not not the path": {route(sets{{not(not(path))}}, to)},
	}
	texts := map[string]string{}
	for name, list := range ways {
		for i, routes := range list {
			text := Way(routes, to)
			if i == 0 {
				if same := texts[text]; same != "" {
					t.Errorf("%s is as %s: %q", name, same, text)
				}
				texts[text] = name
			} else if texts[text] != name {
				t.Errorf("%s, number %d: %q is none", name, i, text)
			}
		}
	}
	if text := Way(other, to); text != "" {
		t.Errorf("a handler that is not there has the way %q", text)
	}
}
