package ssepush

import (
	"net/http"
	"net/url"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/subscribe"
)

// upstreamApp is the app behind a site, which steers the proxy by instructions in its answers: it decides about subscribe
// requests (subscribe), gets what pages post to their connections (post), and publishes by a header of any answer (passOn).
type upstreamApp struct {
	publish *PublishHeader   // what its answers may publish; nil: nothing
	route   *subscribe.Route // the directive's subscribe route; nil: none
	hub     *pool.Ref
	origins []string // whose pages may post to a connection, beside those of the route's own host

	log        *zap.Logger
	complaints *problem.Complaints
}

// appRequest is a request that belongs to a route of the proxy and is passed on to the app. Its two views are one request, with
// one header map and one body: an instruction that is removed from toApp is gone from asked as well. A body that has been
// read through one view is given back to toApp only.
type appRequest struct {
	asked *http.Request // with the URL by which it belongs to the route
	toApp *http.Request // with the URL that it has now: the site may have rewritten it
}

// newAppRequest returns both views of r. own is the URL by which it belongs to the route.
func newAppRequest(r *http.Request, own *url.URL) appRequest {
	return appRequest{asked: withURL(r, own), toApp: r}
}

func (a *upstreamApp) complain(level zapcore.Level, message string, fields ...zap.Field) {
	a.complaints.Log(a.log, level, message, fields...)
}
