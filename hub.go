package ssepush

import (
	"context"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/membroker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

const (
	defaultEvents  = 10_000
	defaultAge     = time.Hour
	defaultBytes   = 64 << 20
	defaultPerUser = 20
	defaultEvent   = 1 << 20
	defaultPending = 64 << 10
	defaultMemory  = 1 << 30
	defaultDrain   = 3 * time.Second

	defaultDebounce = 5 * time.Second
)

// hubs are the process's hubs. They outlive a config that is reloaded.
var hubs = caddy.NewUsagePool()

// brokerModule is a guest in sse_push.brokers: it opens the log behind a hub.
type brokerModule interface {
	// LogKey names the log that Open opens for a hub. As long as it stays the same, a reloaded config keeps
	// the hub as it is.
	LogKey() string
	// Open returns the log behind a hub. It must not wait for a server.
	Open(hub string) (broker.Broker, error)
}

// hubRef is a hub as one config knows it.
type hubRef struct {
	settings HubSettings
	broker   brokerModule

	routes routes

	ready chan struct{} // closed when hub is set
	hub   *pooledHub
	key   hubKey
}

// hubKey is what makes a hub the same one in the next config: never its settings, which may change.
type hubKey struct{ name, log string }

// open takes the hub out of the pool, or starts it.
func (r *hubRef) open() error {
	if r.broker == nil {
		r.broker = membroker.Module{}
	}
	key := hubKey{r.settings.Hub, r.broker.LogKey()}
	pooled, _, err := hubs.LoadOrNew(key, func() (caddy.Destructor, error) {
		b, err := r.broker.Open(r.settings.Hub)
		if err != nil {
			return nil, err
		}
		p := &pooledHub{Hub: hub.New(r.settings.Hub, b, r.settings.hub()), ownKey: randomKey()}
		p.Closed = p.ended
		p.drain.Store(int64(r.settings.drain()))
		p.maxEvent.Store(r.settings.maxEvent())
		p.routes.Store(&r.routes)
		p.setKey(&r.settings)
		p.OnRevoke(p.revoked)
		p.OnSkipped(p.skip)
		return p, nil
	})
	if err != nil {
		return err
	}
	r.key, r.hub = key, pooled.(*pooledHub)
	close(r.ready)
	return nil
}

// release gives the hub back to the pool, if it was taken.
func (r *hubRef) release() error {
	if r.hub == nil {
		return nil
	}
	_, err := hubs.Delete(r.key)
	return err
}

// rejected counts a client that was sent off, if there is a hub yet that it could have had.
func (r *hubRef) rejected(reason string) {
	select {
	case <-r.ready:
		r.hub.Rejected(reason)
	default:
	}
}

// get waits for the hub: the HTTP server may start before the app that opens it.
func (r *hubRef) get(ctx context.Context) (*pooledHub, error) {
	select {
	case <-r.ready:
		return r.hub, nil
	case <-ctx.Done():
		return nil, hub.ErrNotReady
	}
}

// within is get for a while. A hub that is there costs no timer.
func (r *hubRef) within(ctx context.Context, wait time.Duration) (*pooledHub, error) {
	select {
	case <-r.ready:
		return r.hub, nil
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return r.get(ctx)
}

// hub returns the settings with every default filled in.
func (s *HubSettings) hub() hub.Settings {
	history, limits := History{}, Limits{}
	if s.History != nil {
		history = *s.History
	}
	if s.Limits != nil {
		limits = *s.Limits
	}
	var presence hub.Presence
	if s.Presence != nil {
		presence = hub.Presence{Topic: s.Presence.Topic, Debounce: orElse(time.Duration(s.Presence.Debounce), defaultDebounce)}
	}
	return hub.Settings{
		Presence: presence,
		History: hub.History{
			Events: orElse(history.Events, defaultEvents),
			Age:    orElse(time.Duration(history.Age), defaultAge),
			Bytes:  orElse(history.Bytes, defaultBytes),
		},
		Limits: hub.Limits{
			Connections: orElse(limits.Connections, descriptors()/5*4),
			PerUser:     orElse(limits.PerUser, defaultPerUser),
			PerIP:       max(limits.PerIP, 0),
			Pending:     orElse(limits.Pending, defaultPending),
			Memory:      orElse(limits.Memory, defaultMemory),
			Rate:        max(limits.Rate, 0),
		},
	}
}

// drain is how long streams are closed over when the hub is to go.
func (s *HubSettings) drain() time.Duration {
	if s.Drain == nil {
		return defaultDrain
	}
	return time.Duration(*s.Drain)
}

// maxEvent is how many bytes an event's data may have.
func (s *HubSettings) maxEvent() int64 {
	if s.Limits == nil {
		return defaultEvent
	}
	return orElse(s.Limits.Event, defaultEvent)
}

// orElse is n, with 0 for the default and a negative number for none.
func orElse[N int | int64 | time.Duration](n, fallback N) N {
	if n == 0 {
		return fallback
	}
	return max(n, 0)
}
