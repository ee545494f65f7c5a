package ssepush

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/api"
	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/problem"
)

func init() { caddy.RegisterModule(AdminAPI{}) }

// AdminAPI shows the hubs of the process, whatever config they come from, on Caddy's admin endpoint. It takes the calls of
// the internal route below `/sse_push/hubs/{hub}/`, and answers them in the same way, errors included.
//
//	GET    /sse_push/hubs                              all hubs
//	GET    /sse_push/hubs/{hub}                        one of them
//	GET    /sse_push/hubs/{hub}/tail                   what it delivers, by long polling
//	GET    /sse_push/hubs/{hub}/explain                why somebody did or did not get an event
//	POST   /sse_push/hubs/{hub}/publish                as on the internal route, and so
//	GET    /sse_push/hubs/{hub}/connections[/{id}]
//	DELETE /sse_push/hubs/{hub}/connections/{id}
//	GET    /sse_push/hubs/{hub}/users[/{user}]
//	DELETE /sse_push/hubs/{hub}/users/{user}
//	GET    /sse_push/hubs/{hub}/topics[/{topic}]
//	GET    /sse_push/hubs/{hub}/position
//	GET    /sse_push/hubs/{hub}/health
type AdminAPI struct {
	replaced <-chan struct{} // closed when the config is no longer in force
}

// CaddyModule returns the Caddy module information.
func (AdminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.sse_push",
		New: func() caddy.Module { return new(AdminAPI) },
	}
}

// Provision implements caddy.Provisioner.
func (a *AdminAPI) Provision(ctx caddy.Context) error {
	a.replaced = ctx.Done()
	return nil
}

// Routes implements caddy.AdminRouter.
func (a *AdminAPI) Routes() []caddy.AdminRoute {
	serve := caddy.AdminHandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		if p := a.serve(w, r); p != nil {
			p.Write(w)
		}
		return nil
	})
	return []caddy.AdminRoute{{Pattern: api.AdminPrefix, Handler: serve}, {Pattern: api.AdminPrefix + "/", Handler: serve}}
}

// serve answers a call, unless it returns what is wrong with it.
func (a *AdminAPI) serve(w http.ResponseWriter, r *http.Request) *problem.Problem {
	// A hub's name may hold a slash, escaped.
	name, call, within := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(r.URL.EscapedPath(), api.AdminPrefix), "/"), "/")
	escaped := call
	name, err := url.PathUnescape(name)
	if err == nil {
		call, err = url.PathUnescape(call)
	}
	if err != nil {
		return problem.New(http.StatusBadRequest, "the path cannot be read: %v", err)
	}
	live := livePooledHubs()
	if name == "" {
		return serveHubs(w, r, live)
	}
	i := slices.IndexFunc(live, func(p *pooledHub) bool { return p.Name == name })
	if i < 0 {
		names := make([]string, 0, len(live))
		for _, p := range live {
			names = append(names, problem.Clip(p.Name))
		}
		return problem.New(http.StatusNotFound, "there is no hub %s; there are: %s", problem.Clip(name), cmp.Or(strings.Join(names, ", "), "none")).OfField("hub")
	}
	p := live[i]
	if !within {
		if p := api.CheckCall(r, []string{http.MethodGet, http.MethodHead}, nil); p != nil {
			return p
		}
		api.WriteJSON(w, http.StatusOK, api.ViewHub(p.Hub))
		return nil
	}
	log := p.routes.Load().log.With(zap.String("hub", p.Name))
	switch call {
	case "tail":
		return api.ServeTail(w, r, p.Hub, a.replaced)
	case "explain":
		return serveExplain(w, r, p)
	}
	Serve(w, r, p, Call{Path: call, Escaped: escaped, Log: log})
	return nil
}

// livePooledHubs are the hubs of all configs, by name. For as long as a reload takes that changes the broker, there are two
// of a name: the one of the newest config counts.
func livePooledHubs() (live []*pooledHub) {
	newest := map[string]*pooledHub{}
	generation := func(p *pooledHub) uint64 {
		if rs := p.routes.Load(); rs != nil {
			return rs.generation
		}
		return 0
	}
	hubs.Range(func(_, value any) bool {
		if p, ok := value.(*pooledHub); ok {
			if other := newest[p.Name]; other == nil || generation(p) > generation(other) {
				newest[p.Name] = p
			}
		}
		return true
	})
	for _, p := range newest {
		live = append(live, p)
	}
	slices.SortFunc(live, func(a, b *pooledHub) int { return cmp.Compare(a.Name, b.Name) })
	return live
}

// liveHubs returns the hubs of all configs.
func liveHubs() (live []*hub.Hub) {
	hubs.Range(func(_, value any) bool {
		if p, ok := value.(*pooledHub); ok {
			live = append(live, p.Hub)
		}
		return true
	})
	return live
}

// grants reports whether a connection that came by a route may have a topic, by the config in force.
func (p *pooledHub) grants(route hub.Route, user, topic string) bool {
	a, ok := route.(*arrival)
	rs := p.routes.Load()
	if !ok || rs == nil {
		return false
	}
	return slices.ContainsFunc(rs.list, func(route Route) bool {
		return route.Path() == a.path && route.Grants(a, user).Granted(topic)
	})
}

// Bytes is about what the arrival keeps in memory. A hub asks, as it remembers those that have gone.
func (a *arrival) Bytes() int {
	n := 128 + len(a.page)
	for entry, topic := range a.filled {
		n += 32 + len(entry) + len(topic)
	}
	if a.grant != nil {
		for _, topic := range a.grant.Topics {
			n += 16 + len(topic)
		}
	}
	return n
}

// Interface guards.
var (
	_ caddy.AdminRouter = (*AdminAPI)(nil)
	_ caddy.Provisioner = (*AdminAPI)(nil)
)
