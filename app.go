package ssepush

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-push/caddy-sse-push/internal/listener"
	"github.com/sse-push/caddy-sse-push/internal/metrics"
	"github.com/sse-push/caddy-sse-push/internal/pool"
)

// App owns the hubs of a config. It needs no configuration: handlers name the hubs.
type App struct {
	hubs    map[string]*group
	unnamed []byte                     // the handler that names no hub, as JSON; nil if all name theirs
	serves  map[*caddyhttp.Server]bool // the servers with a subscribe route
	wrapped map[*caddyhttp.Server]bool // those with the listener wrapper
	ctx     caddy.Context
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
	a.serves, a.wrapped = map[*caddyhttp.Server]bool{}, map[*caddyhttp.Server]bool{}
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

// Start opens the hubs that are not open yet.
func (a *App) Start() error {
	for _, g := range a.hubs {
		if err := g.ref.Open(); err != nil {
			return err
		}
	}
	return nil
}

// Wrapped records that a server has the listener wrapper.
func (a *App) Wrapped(s *caddyhttp.Server) { a.wrapped[s] = true }

// started puts the config in force for its hubs: only now is it certain that Caddy keeps this config.
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
			if a.serves[server] && !a.wrapped[server] {
				listener.Advise(server, a.ctx.Logger())
			}
		}
	}
}

// stopping closes the streams over a while if the process is about to end. On a reload it does nothing: the streams belong to
// their hubs, which live on.
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

// Cleanup releases the hubs. A hub that no other config has is drained in the background.
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
