package ssepush

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/asynclog"
	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/stream"
)

// arrival is what a connection keeps of its request, to be held against the settings of a later config. Where
// the request has nothing of its own to keep, all connections of a route share one.
type arrival struct {
	path   string
	page   string            // the origin of the page, unless it is the request's own
	filled map[string]string // entries of the grant with placeholders of the request, as they came out

	grant    *grant    // what the client has proved; nil: its word was taken
	deadline *deadline // when that ends; nil: never
}

// arrivalOf keeps what is to be kept of a request.
func (h *Handler) arrivalOf(r *http.Request, id Identity) *arrival {
	origin := r.Header.Get("Origin")
	if isOwnOrigin(r) {
		origin = ""
	}
	a := &arrival{path: h.Path, page: origin, grant: id.grant}
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	for _, entry := range h.Topics {
		if !asksRequest(entry) {
			continue
		}
		if a.filled == nil {
			a.filled = map[string]string{}
		}
		for _, topic := range expandGrant([]string{entry}, id.User, repl) {
			a.filled[entry] = topic
		}
	}
	if a.page == "" && a.filled == nil && a.grant == nil {
		return h.shared
	}
	return a
}

// size is how many bytes the connection keeps by it. What connections may share is charged to each, as it is up to clients
// whether they do.
func (a *arrival) size() int64 {
	const each = 48 // of a string in a map or a list
	n := len(a.page)
	for _, topic := range a.filled {
		n += len(topic) + each
	}
	if a.grant != nil {
		n += len(a.grant.user) + len(a.grant.once)
		for _, topic := range a.grant.topics {
			n += len(topic) + each
		}
	}
	return int64(n)
}

// grantTo is the grant of a connection that came under an earlier config. What the request's placeholders stood for
// cannot be told any more: such entries are as they were, and new ones are not granted.
func (h *Handler) grantTo(a *arrival, user string, repl *caddy.Replacer) (id Identity) {
	for _, entry := range h.Topics {
		if topic, ok := a.filled[entry]; ok {
			id.Topics = append(id.Topics, topic)
		} else if !asksRequest(entry) {
			id.Topics = append(id.Topics, expandGrant([]string{entry}, user, repl)...)
		}
	}
	if a.grant != nil {
		id.Topics = append(id.Topics, a.grant.topics...)
	}
	return id
}

// asksRequest reports whether an entry of a grant has a placeholder other than {user}.
func asksRequest(entry string) bool {
	return strings.Contains(strings.ReplaceAll(entry, "{user}", ""), "{")
}

// generations tells which of two configs is the newer one.
var generations atomic.Uint64

// routes are the subscribe routes that a config has for a hub.
type routes struct {
	generation uint64
	handlers   []*Handler
	log        *zap.Logger
}

// hold holds a connection that came under an earlier config to this one, and reports whether it may stay. Where
// several routes have the same path, on several sites, what one of them allows is allowed.
func (rs *routes) hold(c *hub.Conn) (stays bool) {
	a, ok := c.Route.(*arrival)
	if !ok {
		return true
	}
	var own []*Handler
	for _, h := range rs.handlers {
		if h.Path == a.path && (a.page == "" || h.cors.allows(a.page)) && h.vouches(a.grant) {
			own = append(own, h)
		}
	}
	if len(own) == 0 {
		return false
	}
	var grants []Identity
	c.Narrow(func(topic string) bool {
		if grants == nil {
			repl := caddy.NewEmptyReplacer()
			for _, h := range own {
				grants = append(grants, h.grantTo(a, c.User, repl))
			}
		}
		for _, g := range grants {
			if g.granted(topic) {
				return true
			}
		}
		return false
	})
	return true
}

// pooledHub is a hub in the pool, with what the config in force says of it beside the hub's own settings.
type pooledHub struct {
	*hub.Hub
	drain    atomic.Int64 // a time.Duration
	maxEvent atomic.Int64 // bytes, for who publishes without a handler
	ownKey   []byte       // for the ids of clients that name themselves, where the config has none
	key      atomic.Pointer[[]byte]
	routes   atomic.Pointer[routes]
	skipped  skipped
	timings  sync.Map // of a path: the *stream.Timing of its streams
	endings  asynclog.Queue
}

// timing is what a stream of a handler is held by.
func (p *pooledHub) timing(h *Handler) *stream.Timing {
	t, ok := p.timings.Load(h.Path)
	if !ok {
		t, _ = p.timings.LoadOrStore(h.Path, stream.NewTiming(time.Duration(h.Heartbeat), time.Duration(h.WriteTimeout)))
	}
	return t.(*stream.Timing)
}

// retime sets what streams are held by. Where several routes have the same path, on several sites, each of them gets
// the heartbeats that it asks for, and as long for a write.
func (p *pooledHub) retime(rs *routes) {
	type durations struct{ heartbeat, writeTimeout caddy.Duration }
	of := map[string]durations{}
	for _, h := range rs.handlers {
		d, ok := of[h.Path]
		if !ok || h.Heartbeat < d.heartbeat {
			d.heartbeat = h.Heartbeat
		}
		d.writeTimeout = max(d.writeTimeout, h.WriteTimeout)
		of[h.Path] = d
		p.timing(h)
	}
	p.timings.Range(func(path, t any) bool {
		if d, ok := of[path.(string)]; ok {
			t.(*stream.Timing).Set(time.Duration(d.heartbeat), time.Duration(d.writeTimeout))
		} else {
			p.timings.Delete(path)
		}
		return true
	})
}

// apply takes on the settings of a config, now that it is sure to be the one.
func (p *pooledHub) apply(s *HubSettings, rs *routes) {
	p.Configure(s.hub())
	p.drain.Store(int64(s.drain()))
	p.setKey(s)
	p.maxEvent.Store(s.maxEvent())
	p.routes.Store(rs)
	p.retime(rs)
	var leave []*hub.Conn
	p.Each(func(c *hub.Conn) {
		if !rs.hold(c) {
			leave = append(leave, c)
		}
	})
	if len(leave) > 0 {
		go hub.Release(leave, s.drain())
	}
}

// admitted holds a connection to the config in force, if its own is no longer that: the old servers
// go on for a moment.
func (p *pooledHub) admitted(c *hub.Conn, generation uint64) {
	if rs := p.routes.Load(); rs != nil && rs.generation > generation && !rs.hold(c) {
		hub.Release([]*hub.Conn{c}, 0)
	}
}

// Destruct lets the clients go in the background, since the config's lock is held meanwhile.
func (p *pooledHub) Destruct() error {
	go func() {
		p.Drain(time.Duration(p.drain.Load()))
		_ = p.Close() // the memory broker has nothing to report
	}()
	return nil
}
