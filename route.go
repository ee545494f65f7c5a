package ssepush

import (
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/asynclog"
	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/identity"
	"github.com/sse-push/caddy-sse-push/internal/stream"
)

// arrival is what a connection keeps of its request, to be held against the settings of a later config. Where
// the request has nothing of its own to keep, all connections of a route share one.
type arrival struct {
	path   string
	page   string            // the origin of the page, unless it is the request's own
	filled map[string]string // entries of the grant with placeholders of the request, as they came out

	grant    *identity.Grant // what the client has proved; nil: its word was taken
	deadline *deadline       // when that ends; nil: never
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
		n += len(a.grant.User) + len(a.grant.Once)
		for _, topic := range a.grant.Topics {
			n += len(topic) + each
		}
	}
	return int64(n)
}

// Route is a subscribe route as a hub sees it.
type Route interface {
	// Path returns the path that the route answers. Routes of several sites may have the same one.
	Path() string
	// Admits reports whether the route would let in, by its config, a connection that came by a route of the same path.
	Admits(a *arrival) bool
	// Grants returns what the route grants to a connection that came by a route of the same path.
	Grants(a *arrival, user string) identity.Identity
	// Timing returns how long a stream may be silent, and how long a write may take.
	Timing() (heartbeat, writeTimeout time.Duration)
	// Forget makes the route ask anew for a user, or for every user if it is "".
	Forget(user string)
}

// generations tells which of two configs is the newer one.
var generations atomic.Uint64

// routes are the subscribe routes that a config has for a hub.
type routes struct {
	generation uint64
	list       []Route
	log        *zap.Logger
}

// hold holds a connection that came under an earlier config to this one, and reports whether it may stay. Where
// several routes have the same path, on several sites, what one of them allows is allowed.
func (rs *routes) hold(c *hub.Conn) (stays bool) {
	a, ok := c.Route.(*arrival)
	if !ok {
		return true
	}
	var own []Route
	for _, route := range rs.list {
		if route.Path() == a.path && route.Admits(a) {
			own = append(own, route)
		}
	}
	if len(own) == 0 {
		return false
	}
	var grants []identity.Identity
	c.Narrow(func(topic string) bool {
		if grants == nil {
			for _, route := range own {
				grants = append(grants, route.Grants(a, c.User))
			}
		}
		for _, g := range grants {
			if g.Granted(topic) {
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

// timing returns what the streams of a route are held by.
func (p *pooledHub) timing(route Route) *stream.Timing {
	t, ok := p.timings.Load(route.Path())
	if !ok {
		t, _ = p.timings.LoadOrStore(route.Path(), stream.NewTiming(route.Timing()))
	}
	return t.(*stream.Timing)
}

// retime sets what streams are held by. Where several routes have the same path, on several sites, each of them gets
// the heartbeats that it asks for, and as long for a write.
func (p *pooledHub) retime(rs *routes) {
	type durations struct{ heartbeat, writeTimeout time.Duration }
	of := map[string]durations{}
	for _, route := range rs.list {
		heartbeat, writeTimeout := route.Timing()
		d, ok := of[route.Path()]
		if !ok || heartbeat < d.heartbeat {
			d.heartbeat = heartbeat
		}
		d.writeTimeout = max(d.writeTimeout, writeTimeout)
		of[route.Path()] = d
		p.timing(route)
	}
	p.timings.Range(func(path, t any) bool {
		if d, ok := of[path.(string)]; ok {
			t.(*stream.Timing).Set(d.heartbeat, d.writeTimeout)
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
