package api

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/problem"
)

// AdminPrefix is the path of the calls on Caddy's admin endpoint.
const AdminPrefix = "/sse_push/hubs"

func init() { caddy.RegisterModule(AdminAPI{}) }

// AdminAPI serves the hubs of the process, whatever config they come from, on Caddy's admin endpoint. Below
// `/sse_push/hubs/{hub}/` it takes the calls of the internal route, and answers them in the same way, errors included.
//
//	GET    /sse_push/hubs                              all hubs
//	GET    /sse_push/hubs/{hub}                        one of them
//	GET    /sse_push/hubs/{hub}/tail                   what it delivers, by long polling
//	GET    /sse_push/hubs/{hub}/explain                why a client did or did not get an event
//	POST   /sse_push/hubs/{hub}/publish                as on the internal route, like all that follow
//	GET    /sse_push/hubs/{hub}/connections[/{id}]
//	DELETE /sse_push/hubs/{hub}/connections/{id}
//	GET    /sse_push/hubs/{hub}/users[/{user}]
//	DELETE /sse_push/hubs/{hub}/users/{user}
//	GET    /sse_push/hubs/{hub}/topics[/{topic}]
//	GET    /sse_push/hubs/{hub}/sources
//	GET    /sse_push/hubs/{hub}/relays[/{id}]
//	DELETE /sse_push/hubs/{hub}/relays/{id}
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
	return []caddy.AdminRoute{{Pattern: AdminPrefix, Handler: serve}, {Pattern: AdminPrefix + "/", Handler: serve}}
}

// serve answers a call, or returns what is wrong with it.
func (a *AdminAPI) serve(w http.ResponseWriter, r *http.Request) *problem.Problem {
	// A hub's name may hold a slash, escaped.
	name, call, within := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(r.URL.EscapedPath(), AdminPrefix), "/"), "/")
	escaped := call
	name, err := url.PathUnescape(name)
	if err == nil {
		call, err = url.PathUnescape(call)
	}
	if err != nil {
		return problem.New(http.StatusBadRequest, "the path cannot be read: %v", err)
	}
	live := pool.Live()
	if name == "" {
		return serveHubs(w, r, live)
	}
	i := slices.IndexFunc(live, func(p *pool.Hub) bool { return p.Name == name })
	if i < 0 {
		names := make([]string, 0, len(live))
		for _, p := range live {
			names = append(names, problem.Clip(p.Name))
		}
		return problem.New(http.StatusNotFound, "there is no hub %s; the hubs are: %s", problem.Clip(name), cmp.Or(strings.Join(names, ", "), "none")).OfField("hub")
	}
	p := live[i]
	if !within {
		if p := CheckCall(r, []string{http.MethodGet, http.MethodHead}, nil); p != nil {
			return p
		}
		writeJSON(w, http.StatusOK, viewHub(p))
		return nil
	}
	switch call {
	case "tail":
		return serveTail(w, r, p.Hub, a.replaced)
	case "explain":
		return serveExplain(w, r, p)
	}
	Serve(w, r, p, Call{Path: call, Escaped: escaped, Log: p.Log()})
	return nil
}

// Interface guards.
var (
	_ caddy.AdminRouter = (*AdminAPI)(nil)
	_ caddy.Provisioner = (*AdminAPI)(nil)
)
