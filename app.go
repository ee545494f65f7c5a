package ssepush

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-push/caddy-sse-push/broker/membroker"
	"github.com/sse-push/caddy-sse-push/internal/metrics"
	"github.com/sse-push/caddy-sse-push/internal/pool"
)

// App owns the hubs of a config. It needs no configuration: handlers name the hubs.
type App struct {
	hubs    map[string]*group
	unnamed []byte // the handler that names no hub, as JSON
	ctx     caddy.Context
}

// group is a hub of a config, with the handlers that have a subscribe route for it.
type group struct {
	ref    *pool.Ref
	routes []*Handler
}

// CaddyModule returns the Caddy module information.
func (App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "sse_push",
		New: func() caddy.Module { return new(App) },
	}
}

// Provision sets up the app.
func (a *App) Provision(ctx caddy.Context) error {
	a.ctx, a.hubs = ctx, map[string]*group{}
	if err := metrics.Register(ctx.GetMetricsRegistry(), pool.All); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	events, err := ctx.App("events")
	if err != nil {
		return err
	}
	on := events.(*caddyevents.App).On
	return errors.Join(on("started", eventHandler(a.started)), on("stopping", eventHandler(a.stopping)))
}

type eventHandler func()

// Handle implements caddyevents.Handler.
func (h eventHandler) Handle(context.Context, caddy.Event) error {
	h()
	return nil
}

// join returns the hub that a handler belongs to. The hub opens when the app starts. source is the handler
// as JSON: if a site has two listeners, its one directive comes as two handlers that are the same.
func (a *App) join(h *Handler, s pool.Settings, broker pool.BrokerModule, source []byte) (*pool.Ref, error) {
	name := s.Hub
	if len(a.hubs) > 0 && (name == "") != (a.unnamed != nil) || a.unnamed != nil && !bytes.Equal(a.unnamed, source) {
		return nil, errors.New("hub is missing: as soon as a config has two sse_push handlers, each must name its hub")
	}
	if name == "" {
		a.unnamed = source
	}
	g := a.hubs[name]
	if g == nil {
		g = &group{ref: pool.NewRef(cmp.Or(name, "default"), membroker.Module{}, a.ctx.Logger())}
		a.hubs[name] = g
	}
	if err := g.ref.Join(&s, broker); err != nil {
		return nil, err
	}
	if h.Path != "" {
		g.routes = append(g.routes, h)
	}
	return g.ref, nil
}

// Start opens the hubs that are not open yet.
func (a *App) Start() error {
	for _, g := range a.hubs {
		if err := g.ref.Open(); err != nil {
			return err
		}
	}
	return nil
}

// started applies the settings: only now is it certain that this config is the one.
func (a *App) started() {
	for _, g := range a.hubs {
		if g.ref.Apply() { // another module may use the event's name
			g.warnUnheard()
			g.warnKeyless()
		}
	}
	if site, err := a.ctx.AppIfConfigured("http"); err == nil {
		for _, server := range site.(*caddyhttp.App).Servers {
			warnUnreachable(server.Routes)
		}
	}
}

// stopping lets the clients go, spread over a while, if the process is about to end. On a reload nothing is
// to be done: the streams belong to their hubs, which live on.
func (a *App) stopping() {
	if !caddy.Exiting() {
		return
	}
	var drained sync.WaitGroup
	for _, g := range a.hubs {
		drained.Go(g.ref.Drain)
	}
	drained.Wait()
}

// Stop implements caddy.App.
func (a *App) Stop() error { return nil }

// Cleanup lets go of the hubs. One that no other config has is drained in the background.
func (a *App) Cleanup() error {
	var errs []error
	for _, g := range a.hubs {
		errs = append(errs, g.ref.Release())
	}
	return errors.Join(errs...)
}

// Interface guards.
var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
