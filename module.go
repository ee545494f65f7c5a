// Package ssepush is a Caddy module: real-time push (server-sent events) for any web app behind Caddy. It
// ends EventSource connections at the proxy and takes publish requests from the apps behind it.
package ssepush

import (
	"cmp"
	"encoding/json"
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/guard"
	"github.com/sse-push/caddy-sse-push/internal/identity"
	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/subscribe"
	"github.com/sse-push/caddy-sse-push/internal/upstream"
)

func init() {
	caddy.RegisterModule(App{})
	caddy.RegisterModule(Handler{})
}

// Handler serves the subscribe route, on which browsers hold an EventSource, and the internal route, on
// which apps publish. All other requests go on to the next handler.
type Handler struct {
	// The subscribe route's path, such as `/events`. Default: none, so that the directive only serves the
	// internal route.
	Path string `json:"path,omitempty" placeholders:"none"`

	// Who a client is: the sources are asked in order. A source that is absent from the request passes on to
	// the next; one that is present but invalid refuses the client (401). At most one user comes out of it.
	Users []identity.UserSource `json:"users,omitempty"`

	// Whether a client that no source knows may connect, without a user. Default: false, it is refused (401).
	Anonymous bool `json:"anonymous,omitempty"`

	// The topics that a connection may subscribe to: names, or patterns in which the segment `*` stands for
	// one segment and a last segment `**` for one or more. `{user}` is the user's name, with `%`, `/`, `*`
	// and control characters percent-encoded; what has it is not granted to a client without a user. Other placeholders
	// are those of the request. Default: none; a connection hears its user, itself and broadcasts.
	Topics []string `json:"topics,omitempty" placeholders:"request"`

	// The internal route. Default: none.
	Internal *guard.Internal `json:"internal,omitempty"`

	// A page on which operators see what the hub does. Default: none.
	Inspector *Inspector `json:"inspector,omitempty"`

	// Whether the app behind says who a client is and what it hears: the subscribe request goes on to it (GET, POST or QUERY), and an answer with
	// the status 200 and `X-SSE-Hold: stream` begins a stream, for the user in `X-SSE-User`, subscribed to the topics in
	// `X-SSE-Topics`, with the events in its body first. Any other answer goes to the client as it is. Default: false.
	Upstream bool `json:"upstream,omitempty"`

	// Whether a page may post to its own connection: a POST to the subscribe path, `/` and the connection's id goes on to
	// the app behind with `X-SSE-User` and `X-SSE-Connection`, if the connection is open and the caller's. It must bear
	// the `Origin` of this host or of `cors_origins`. Default: false.
	TwoWay bool `json:"two_way,omitempty"`

	// Lets the app behind publish by a header of its answers. Default: not at all.
	PublishHeader *upstream.PublishHeader `json:"publish_header,omitempty"`

	// Origins (scheme, host and port, exactly as a browser sends them) whose pages may subscribe from another
	// origin, with credentials. A lone `*` allows every origin, without credentials. Default: only pages of the same host.
	CORSOrigins []string `json:"cors_origins,omitempty"`

	subscribe.Timing
	pool.Settings

	// Where the Caddyfile has the options whose placeholders are filled in when the config is loaded: file and line, by the
	// option's name in this JSON. Error messages repeat it. Default: none.
	Places map[string]string `json:"places,omitempty" placeholders:"-"`

	hub       *pool.Ref
	chain     *identity.Chain
	subscribe *subscribe.Route // nil without a path
	app       *upstream.App    // nil unless the app behind may steer the proxy
	guard     *guard.Guard
	log       *zap.Logger

	inspector *Page
}

// CaddyModule returns the Caddy module information.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.sse_push",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision fills in defaults and finds the handler's hub. It opens nothing.
func (h *Handler) Provision(ctx caddy.Context) error {
	source, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if err := h.fillIn(caddy.NewReplacer()); err != nil {
		return err
	}
	h.log = ctx.Logger().With(zap.String("hub", cmp.Or(h.Hub, "default")))
	settings := h.Settings // loading the broker takes its JSON away
	h.SetDefaults()
	if err := h.check(); err != nil {
		return err
	}
	complaints := new(problem.Complaints)
	if h.chain, err = identity.NewChain(identity.Settings{
		Path: h.Path, Users: h.Users, Anonymous: h.Anonymous, Upstream: h.Upstream, Topics: h.Topics,
	}, h.log, complaints); err != nil {
		return err
	}
	policy, err := guard.NewCORS(h.CORSOrigins, h.chain.ClientHeaders()...)
	if err != nil {
		return fmt.Errorf("cors_origins: %w", err)
	}
	if h.Internal != nil {
		if h.guard, err = guard.New(h.Internal, h.log); err != nil {
			return fmt.Errorf("internal: %w", err)
		}
	}
	var broker pool.BrokerModule
	if h.BrokerRaw != nil {
		guest, err := ctx.LoadModule(h, "BrokerRaw")
		if err != nil {
			return h.placed("broker", fmt.Errorf("loading broker: %w", err))
		}
		var ok bool
		if broker, ok = guest.(pool.BrokerModule); !ok {
			return fmt.Errorf("loading broker: %T is not a broker", guest)
		}
	}
	app, err := ctx.App("sse_push")
	if err != nil {
		return err
	}
	if h.hub, err = app.(*App).join(h, settings, broker, source); err != nil {
		return err
	}
	if h.Inspector != nil {
		if h.inspector, err = newPage(h.Inspector, h.hub, h.log, ctx.Done()); err != nil {
			return fmt.Errorf("inspector: %w", err)
		}
	}
	if h.Path != "" {
		h.subscribe = subscribe.New(subscribe.Config{Path: h.Path, Timing: h.Timing, Chain: h.chain, CORS: policy, Hub: h.hub, Log: h.log})
	}
	if h.PublishHeader != nil || h.Upstream || h.TwoWay {
		h.app = upstream.New(upstream.Config{
			PublishHeader: h.PublishHeader, Route: h.subscribe, Hub: h.hub, Origins: h.CORSOrigins, Log: h.log, Complaints: complaints,
		})
	}
	if srv, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok && h.Path != "" {
		srv.RegisterConnContext(subscribe.WithConn)
	}
	for _, w := range h.Settings.Warnings() {
		h.log.Warn(w)
	}
	for _, w := range h.chain.Warnings() {
		h.log.Warn(w)
	}
	return nil
}

// Interface guards.
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
