// Package upstream lets the app behind a site steer the proxy by instructions: X-SSE-* headers in its answers. The app decides
// about subscribe requests (App.Subscribe), gets what pages post to their own connections (App.Post), and publishes by a header
// of any answer (App.PassOn). Clients can neither send instructions nor see them.
package upstream

import (
	"net/http"
	"net/url"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/request"
	"github.com/sse-push/caddy-sse-push/internal/subscribe"
)

// Config is what an App is made of.
type Config struct {
	PublishHeader *PublishHeader   // what the app's answers may publish; nil: nothing
	Route         *subscribe.Route // the directive's subscribe route; nil: none
	Hub           *pool.Ref
	Origins       []string // whose pages may post to a connection, beside those of the route's own host
	Log           *zap.Logger
	Complaints    *problem.Complaints
}

// App is the app behind a site, which steers the proxy by instructions in its answers.
type App struct {
	publish *PublishHeader
	route   *subscribe.Route
	hub     *pool.Ref
	origins []string

	log        *zap.Logger
	complaints *problem.Complaints
}

// New returns the app behind a site.
func New(c Config) *App {
	return &App{
		publish: c.PublishHeader, route: c.Route, hub: c.Hub, origins: c.Origins, log: c.Log, complaints: c.Complaints,
	}
}

// appRequest is a request that belongs to a route of the proxy and is passed on to the app. Its two views are one request, with
// one header map and one body: an instruction that is removed from toApp is gone from onRoute as well. A body that has been
// read through one view is given back to toApp only.
type appRequest struct {
	onRoute *http.Request // with the URL by which it belongs to the route
	toApp   *http.Request // with the URL that it has now: the site may have rewritten it
}

// newAppRequest returns both views of r. own is the URL by which it belongs to the route.
func newAppRequest(r *http.Request, own *url.URL) appRequest {
	return appRequest{onRoute: request.WithURL(r, own), toApp: r}
}

func (a *App) complain(level zapcore.Level, message string, fields ...zap.Field) {
	a.complaints.Log(a.log, level, message, fields...)
}
