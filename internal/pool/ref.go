package pool

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/patience"
	"github.com/sse-push/caddy-sse-push/internal/stream"
)

// admitTimeout is how long a client waits for a hub whose broker cannot be reached before it is sent away.
const admitTimeout = 5 * time.Second

// hubs are the process's hubs. They outlive the config that opened them.
var hubs = caddy.NewUsagePool()

// generations counts the Refs of all configs, so that the newer one of two has the greater number.
var generations atomic.Uint64

// Ref is a hub as one config knows it: the config's settings and routes for the hub, and, once it is open, the hub.
type Ref struct {
	config config
	broker BrokerModule
	beside map[string]beside // by name

	ready chan struct{} // closed when hub is set
	hub   *Hub
	key   hubKey
}

// hubKey tells which hub of the next config is the same one. The settings are no part of it: they may change.
type hubKey struct{ name, log string }

// NewRef returns a hub of a config, which is not open yet. The broker is used unless a handler of the hub names another.
func NewRef(name string, broker BrokerModule, log *zap.Logger) *Ref {
	return &Ref{
		config: config{
			generation: generations.Add(1), settings: Settings{Hub: name}, log: log.With(zap.String("hub", name)),
		},
		broker: broker, ready: make(chan struct{}),
	}
}

// Join adds the settings of one handler of the hub. They must not contradict those of the handlers before it. The broker is
// nil if the handler names none.
func (r *Ref) Join(s *Settings, broker BrokerModule) error {
	if key := r.config.settings.Conflict(s); key != "" {
		return fmt.Errorf("%s of hub %q differs from the one in another handler: give it in one of them", key, r.config.settings.Hub)
	}
	r.config.settings.merge(s)
	if broker != nil {
		r.broker = broker
	}
	return nil
}

// AddRoute adds a subscribe route of the hub.
func (r *Ref) AddRoute(route Route) { r.config.routes = append(r.config.routes, route) }

// Forbid adds a rule of a protocol that the hub speaks beside its own.
func (r *Ref) Forbid(rule hub.Rule) { r.config.forbidden = append(r.config.forbidden, rule) }

// Routes returns the config's routes of the hub.
func (r *Ref) Routes() []Route { return r.config.routes }

// Superseded reports whether a newer config is in force for the hub, which is open: the servers of an older one go on for a moment.
func (r *Ref) Superseded() bool { return r.hub.config.Load().generation > r.config.generation }

// Settings returns the config's settings for the hub.
func (r *Ref) Settings() *Settings { return &r.config.settings }

// Open takes the hub out of the pool, or starts it.
func (r *Ref) Open() error {
	key := hubKey{r.config.settings.Hub, r.broker.LogKey()}
	pooled, _, err := hubs.LoadOrNew(key, func() (caddy.Destructor, error) {
		b, err := r.broker.Open(key.name)
		if err != nil {
			return nil, err
		}
		return newHub(b, r.broker, &r.config), nil
	})
	if err != nil {
		return fmt.Errorf("opening hub %q: %w", key.name, err)
	}
	r.key, r.hub = key, pooled.(*Hub)
	close(r.ready)
	return nil
}

// newHub starts a hub.
func newHub(b broker.Broker, engine BrokerModule, c *config) *Hub {
	p := &Hub{Hub: hub.New(c.settings.Hub, b, c.settings.hub()), engine: engine, ownKey: randomKey()}
	p.config.Store(c)
	p.Closed = p.ended
	p.OnRevoke(p.AskAnew)
	p.OnSkipped(p.skip)
	return p
}

// Shared reports whether the hub, which is open, has a log that other nodes use as well.
func (r *Ref) Shared() bool { return r.hub.Shared() }

// Apply puts the config in force for the hub. It reports false if the hub is not open.
func (r *Ref) Apply() bool {
	if r.hub == nil {
		return false
	}
	r.offer()
	r.hub.apply(&r.config)
	return true
}

// Drain closes the hub's streams over a while, as the process is about to end.
func (r *Ref) Drain() {
	if r.hub != nil {
		r.hub.residents.close()
		r.hub.Drain(r.config.settings.drain())
		r.hub.endings.Flush(time.Second)
	}
}

// Release gives the hub back to the pool, if it was opened. A hub that no config has any more is drained in the background.
func (r *Ref) Release() error {
	if r.hub == nil {
		return nil
	}
	_, err := hubs.Delete(r.key)
	return err
}

// Get returns the hub. It waits for a while: the HTTP server may start before the app that opens the hub.
func (r *Ref) Get(ctx context.Context) (*Hub, error) {
	select {
	case <-r.ready: // without a timer
		return r.hub, nil
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, admitTimeout)
	defer cancel()
	select {
	case <-r.ready:
		return r.hub, nil
	case <-ctx.Done():
		return nil, hub.ErrNotReady
	}
}

// Arrived returns the hub.Subscription.Arrived of a client that comes now; 0 if the hub is not open.
func (r *Ref) Arrived() uint64 {
	select {
	case <-r.ready:
		return r.hub.Arrived()
	default:
		return 0
	}
}

// Enter admits a client before it is identified: one that comes too often, or for which there is no place, costs nothing
// more. It counts the client by its network. A client that may take the place of a stream of its own needs no room.
func (r *Ref) Enter(ctx context.Context, network string, needsRoom bool) error {
	theHub, err := r.Get(ctx)
	if err != nil {
		return err
	}
	if needsRoom {
		if err := theHub.checkRoom(network); err != nil {
			return err
		}
	}
	return theHub.Arrive(network)
}

// Admit subscribes a client that came by a route, and returns its connection and the timing of its stream. sub.ID is
// the name that the client gives itself, or "".
func (r *Ref) Admit(ctx context.Context, route Route, a *Arrival, sub hub.Subscription) (*hub.Conn, *stream.Timing, error) {
	timed := patience.New(ctx, admitTimeout)
	defer timed.Stop()
	theHub, err := r.Get(timed)
	if err != nil {
		return nil, nil, err
	}
	if sub.ID != "" {
		sub.ID = theHub.connectionID(a.Path, sub.User, sub.ID)
	}
	return r.admit(timed, theHub.Hub, route, a, sub)
}

// AdmitBeside is Admit into a companion of the hub, which is open. There, a client cannot give itself a name.
func (r *Ref) AdmitBeside(ctx context.Context, to *hub.Hub, route Route, a *Arrival, sub hub.Subscription) (*hub.Conn, *stream.Timing, error) {
	timed := patience.New(ctx, admitTimeout)
	defer timed.Stop()
	sub.ID = ""
	return r.admit(timed, to, route, a, sub)
}

func (r *Ref) admit(ctx context.Context, to *hub.Hub, route Route, a *Arrival, sub hub.Subscription) (*hub.Conn, *stream.Timing, error) {
	conn, err := r.hub.admit(ctx, to, a, sub)
	if err != nil {
		return nil, nil, err
	}
	r.hub.recheck(conn, &r.config)
	return conn, r.hub.timing(route), nil
}

// Rejected counts a client that was sent away, if the hub is open.
func (r *Ref) Rejected(reason string) {
	select {
	case <-r.ready:
		r.hub.Rejected(reason)
	default:
	}
}

// Position returns the end of the log.
func (r *Ref) Position(ctx context.Context) (broker.Position, error) {
	ctx, cancel := context.WithTimeout(ctx, admitTimeout)
	defer cancel()
	theHub, err := r.Get(ctx)
	if err != nil {
		return broker.Position{}, err
	}
	return theHub.Position(ctx)
}
