package ssepush

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

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

const adminPrefix = "/sse_push/hubs"

// Routes implements caddy.AdminRouter.
func (a *AdminAPI) Routes() []caddy.AdminRoute {
	serve := caddy.AdminHandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		if p := a.serve(w, r); p != nil {
			p.Write(w)
		}
		return nil
	})
	return []caddy.AdminRoute{{Pattern: adminPrefix, Handler: serve}, {Pattern: adminPrefix + "/", Handler: serve}}
}

// serve answers a call, unless it returns what is wrong with it.
func (a *AdminAPI) serve(w http.ResponseWriter, r *http.Request) *problem.Problem {
	// A hub's name may hold a slash, escaped.
	name, call, within := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(r.URL.EscapedPath(), adminPrefix), "/"), "/")
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
	switch {
	case !within:
		if p := checkCall(r, []string{http.MethodGet, http.MethodHead}, nil); p != nil {
			return p
		}
		writeJSON(w, http.StatusOK, viewHub(p.Hub))
	case call == "tail":
		return a.serveTail(w, r, p.Hub)
	case call == "explain":
		return p.serveExplain(w, r)
	default:
		p.serveCall(w, r, called{path: call, escaped: escaped, maxEvent: p.maxEvent.Load(), log: p.routes.Load().log.With(zap.String("hub", p.Name))})
	}
	return nil
}

// called is a call of who may publish, ask and steer.
type called struct {
	path     string // below the prefix
	escaped  string // the same as it was sent: a name may hold a slash
	maxEvent int64
	log      *zap.Logger
}

// serveCall answers a call: of an app, of the inspector, or of the admin endpoint.
func (p *pooledHub) serveCall(w http.ResponseWriter, r *http.Request, c called) {
	switch {
	case c.path == "publish":
		servePublish(w, r, p.Hub, c.maxEvent)
	case c.steers(r):
		p.serveControl(w, r, c)
	default:
		serveView(w, r, p.Hub, c.path)
	}
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

// hubInfo is what a list says of a hub. What is counted goes up from its start.
type hubInfo struct {
	Hub           string `json:"hub"`
	Status        string `json:"status"` // ready, unavailable or draining
	Reason        string `json:"reason,omitempty"`
	Connections   int    `json:"connections"` // here, as are the users
	Users         int    `json:"users"`
	Published     uint64 `json:"published"`
	Delivered     uint64 `json:"delivered"`
	Pending       int64  `json:"pending"` // bytes
	Lag           int64  `json:"lag"`     // bytes
	HistoryEvents int    `json:"history_events"`
	HistoryBytes  int64  `json:"history_bytes"`
}

func viewHub(h *hub.Hub) hubInfo {
	s := h.Stats()
	info := hubInfo{
		Hub: h.Name, Status: "ready", Users: s.Users, Published: s.Published, Delivered: s.Delivered,
		Pending: s.Pending, Lag: s.Lag, HistoryEvents: s.HistoryEvents, HistoryBytes: s.HistoryBytes,
	}
	for _, open := range s.Open {
		info.Connections += open.Held + open.Goroutine
	}
	if err := h.Health(); err != nil {
		info.Status, info.Reason = "unavailable", err.Error()
	}
	if s.Draining {
		info.Status = "draining"
	}
	return info
}

func serveHubs(w http.ResponseWriter, r *http.Request, live []*pooledHub) *problem.Problem {
	if p := checkCall(r, []string{http.MethodGet, http.MethodHead}, []string{"limit", "after"}); p != nil {
		return p
	}
	query := r.URL.Query()
	limit, p := limitOf(query)
	if p != nil {
		return p
	}
	list := struct {
		Hubs  []hubInfo `json:"hubs"`
		Total int       `json:"total"`
		Next  string    `json:"next,omitempty"`
	}{Hubs: []hubInfo{}, Total: len(live)}
	for _, p := range live {
		if p.Name <= query.Get("after") {
			continue
		}
		if len(list.Hubs) == limit {
			list.Next = list.Hubs[limit-1].Hub
			break
		}
		list.Hubs = append(list.Hubs, viewHub(p.Hub))
	}
	writeJSON(w, http.StatusOK, list)
	return nil
}

// serveExplain says why somebody did or did not get an event.
func (p *pooledHub) serveExplain(w http.ResponseWriter, r *http.Request) *problem.Problem {
	if bad := checkCall(r, []string{http.MethodGet, http.MethodHead}, []string{"who", "event"}); bad != nil {
		return bad
	}
	query := r.URL.Query()
	q := hub.Question{Who: query.Get("who"), Event: query.Get("event"), Granted: p.grants}
	if q.Who == "" && q.Event == "" {
		return problem.New(http.StatusBadRequest, "give who (a user or a connection), event (its id), or both")
	}
	// What has just been published is to be seen, but not waited for without end.
	ctx, cancel := context.WithTimeout(r.Context(), admitTimeout)
	defer cancel()
	if _, err := p.Position(ctx); err != nil && !errors.Is(err, hub.ErrNotReady) {
		return unreachable(err)
	}
	explanation, err := p.Explain(q)
	if err != nil {
		return problem.Field("event", "%v", err)
	}
	writeJSON(w, http.StatusOK, explanation)
	return nil
}

// grants reports whether a connection that came by a route may have a topic, by the config in force.
func (p *pooledHub) grants(route hub.Route, user, topic string) bool {
	a, ok := route.(*arrival)
	rs := p.routes.Load()
	if !ok || rs == nil {
		return false
	}
	repl := caddy.NewEmptyReplacer()
	return slices.ContainsFunc(rs.handlers, func(h *Handler) bool {
		return h.Path == a.path && h.grantTo(a, user, repl).granted(topic)
	})
}

// Bytes is about what the arrival keeps in memory. A hub asks, as it remembers those that have gone.
func (a *arrival) Bytes() int {
	n := 128 + len(a.page)
	for entry, topic := range a.filled {
		n += 32 + len(entry) + len(topic)
	}
	if a.grant != nil {
		for _, topic := range a.grant.topics {
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
