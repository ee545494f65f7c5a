// Package ssepush is a Caddy module: real-time push (server-sent events) for any web app behind Caddy. It holds EventSource
// connections at the proxy, and takes what the apps behind it publish. The package itself only configures: it turns a Caddyfile
// or JSON into the parts in internal/ that do the work, and hands each request to one of them. CONTRIBUTING.md has a map.
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
	"github.com/sse-push/caddy-sse-push/internal/inspector"
	"github.com/sse-push/caddy-sse-push/internal/listener"
	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/relay"
	"github.com/sse-push/caddy-sse-push/internal/source"
	"github.com/sse-push/caddy-sse-push/internal/subscribe"
	"github.com/sse-push/caddy-sse-push/internal/upstream"
)

func init() {
	caddy.RegisterModule(App{})
	caddy.RegisterModule(Handler{})
	caddy.RegisterModule(listener.Wrapper{})
}

// Handler serves the subscribe route, on which browsers hold an EventSource, and the internal route, on
// which apps publish. All other requests go on to the next handler.
type Handler struct {
	// The subscribe route's path, such as `/events`. Default: none, so that the directive only serves the
	// internal route.
	Path string `json:"path,omitempty" placeholders:"none"`

	// The sources of a client's user, asked in order. If a request has nothing for a source, the next one is asked; if it has
	// something invalid, the client is refused (401). A client has at most one user. Default: none.
	Users []identity.UserSource `json:"users,omitempty"`

	// Whether a client for which no source finds a user may connect without one. Default: false, it is refused (401).
	Anonymous bool `json:"anonymous,omitempty"`

	// The topics that a connection may subscribe to: names, or patterns in which the segment `*` stands for one segment, and
	// a last segment `**` stands for one or more. `{user}` is the user's name, with `%`, `/`, `*` and control characters
	// percent-encoded; an entry with it is not granted to a client without a user. Other placeholders take their values from
	// the request. Default: none; a connection hears its user, itself and broadcasts.
	Topics []string `json:"topics,omitempty" placeholders:"request"`

	// The internal route. Default: none.
	Internal *guard.Internal `json:"internal,omitempty"`

	// Lets the app have the proxy fetch streams, by calls to the internal route. Default: off.
	Relay *relay.Settings `json:"relay,omitempty"`

	// A page on which operators see what the hub does. Default: none.
	Inspector *inspector.Settings `json:"inspector,omitempty"`

	// Whether the app behind the proxy decides who a client is and what it hears. The app gets the subscribe request (GET, POST or
	// QUERY). An answer with the status 200 and `X-SSE-Hold: stream` begins a stream for the user in `X-SSE-User`, subscribed to the
	// topics in `X-SSE-Topics`. The stream begins with the events in the answer's body. The client gets any other answer unchanged.
	// Default: false.
	Upstream bool `json:"upstream,omitempty"`

	// Whether a page may post to its own connection: a POST to the subscribe path, `/` and the connection's id is passed on to
	// the app with `X-SSE-User` and `X-SSE-Connection`, if the connection is open and belongs to the caller. Its `Origin` must
	// be this host or one of `cors_origins`. Default: false.
	TwoWay bool `json:"two_way,omitempty"`

	// Shares the app's stream at the subscribe path: the proxy opens it once for all clients that may share it. Default: off.
	Source *source.Settings `json:"source,omitempty"`

	// Lets the app behind the proxy publish by a header of its answers. Default: off.
	PublishHeader *upstream.PublishHeader `json:"publish_header,omitempty"`

	// Protocols of other products that the hub speaks as well, on paths of their own, by name: `mercure`. Default: none.
	ProtocolsRaw caddy.ModuleMap `json:"protocols,omitempty" caddy:"namespace=sse_push.protocols" placeholders:"guest"`

	// Origins (scheme, host and port, exactly as a browser sends them) whose pages may subscribe from another
	// origin, with credentials. A lone `*` allows every origin, without credentials. Default: only pages of the same host.
	CORSOrigins []string `json:"cors_origins,omitempty"`

	subscribe.Timing
	pool.Settings

	// The places in the Caddyfile (file and line) of the broker, of protocols, and of the options whose placeholders are filled in
	// when the config is loaded, by the options' names in this JSON. Error messages name them. Default: none.
	Places map[string]string `json:"places,omitempty" placeholders:"-"`

	hub       *pool.Ref
	chain     *identity.Chain
	subscribe *subscribe.Route // nil without a path
	source    *source.Route    // nil unless the route shares streams of the app
	upstream  *upstream.App    // nil unless the app behind may steer the proxy
	guard     *guard.Guard     // nil without an internal route
	inspector *inspector.Page  // nil without an inspector
	relays    *relay.Config    // nil without relay
	protocols protocols
	log       *zap.Logger
}

// CaddyModule returns the Caddy module information.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.sse_push",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision fills in defaults and placeholders, and makes the parts of the handler. It opens nothing: the app opens the hub.
func (h *Handler) Provision(ctx caddy.Context) error {
	given, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if err := h.fillIn(caddy.NewReplacer()); err != nil {
		return err
	}
	if name, err := h.protocols.load(ctx, h.ProtocolsRaw); err != nil {
		return h.placed("protocols."+name, fmt.Errorf("%s: %w", name, err))
	}
	h.log = ctx.Logger().With(zap.String("hub", cmp.Or(h.Hub, "default")))
	settings := h.Settings // loading the broker takes its JSON away
	h.SetDefaults()
	h.Source.SetDefaults()
	if err := h.check(); err != nil {
		return err
	}
	complaints := new(problem.Complaints)
	if h.chain, err = identity.NewChain(identity.Settings{
		Path: h.Path, Users: h.Users, Anonymous: h.Anonymous, Upstream: h.Upstream, Topics: h.Topics,
	}, h.log, complaints); err != nil {
		return err
	}
	policy, err := guard.NewCORS(h.CORSOrigins, h.chain.ClientHeaders(), nil)
	if err != nil {
		return fmt.Errorf("cors_origins: %w", err)
	}
	if h.Internal != nil {
		if h.guard, err = guard.New(h.Internal, h.log); err != nil {
			return fmt.Errorf("internal: %w", err)
		}
	}
	broker, err := h.loadBroker(ctx)
	if err != nil {
		return err
	}
	app, err := ctx.App("sse_push")
	if err != nil {
		return err
	}
	if h.hub, err = app.(*App).join(h, settings, broker, given); err != nil {
		return err
	}
	if h.relays, err = relay.New(h.Relay, h.hub); err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	if h.Inspector != nil {
		if h.inspector, err = inspector.New(h.Inspector, h.hub, h.log, ctx.Done()); err != nil {
			return fmt.Errorf("inspector: %w", err)
		}
	}
	if h.Path != "" {
		h.subscribe = subscribe.New(subscribe.Config{Path: h.Path, Timing: h.Timing, Chain: h.chain, CORS: policy, Hub: h.hub, Beside: relay.Beside(h.hub), Log: h.log})
		h.hub.AddRoute(h.subscribe)
	}
	if err := h.protocols.attach(subscribe.Site{Timing: h.Timing, Hub: h.hub, Log: h.log}); err != nil {
		return err
	}
	if h.PublishHeader != nil || h.Upstream || h.TwoWay {
		h.upstream = upstream.New(upstream.Config{
			PublishHeader: h.PublishHeader, Route: h.subscribe, Hub: h.hub, Origins: h.CORSOrigins, Log: h.log, Complaints: complaints,
		})
	}
	srv, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if ok && (h.Path != "" || len(h.protocols) > 0) {
		srv.RegisterConnContext(subscribe.WithConn)
		app.(*App).serves[srv] = true
	}
	if h.Source != nil {
		h.source = source.New(source.Config{Settings: *h.Source, Route: h.subscribe, Handler: h, Server: srv, Hub: h.hub, Log: h.log, Complaints: complaints})
	}
	for _, w := range h.Settings.Warnings() {
		h.log.Warn(w)
	}
	for _, w := range h.chain.Warnings() {
		h.log.Warn(w)
	}
	return nil
}

// loadBroker returns the broker that the handler names; nil if it names none.
func (h *Handler) loadBroker(ctx caddy.Context) (pool.BrokerModule, error) {
	if h.BrokerRaw == nil {
		return nil, nil
	}
	guest, err := ctx.LoadModule(h, "BrokerRaw")
	if err != nil {
		return nil, h.placed("broker", fmt.Errorf("loading broker: %w", err))
	}
	broker, ok := guest.(pool.BrokerModule)
	if !ok {
		return nil, fmt.Errorf("loading broker: %T is not a broker", guest)
	}
	return broker, nil
}

// Interface guards.
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
