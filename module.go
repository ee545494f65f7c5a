// Package ssepush is a Caddy module: real-time push (server-sent events) for any web app behind Caddy. It
// ends EventSource connections at the proxy and takes publish requests from the apps behind it.
package ssepush

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/sse-push/caddy-sse-push/internal/guard"
	"github.com/sse-push/caddy-sse-push/internal/identity"
	"github.com/sse-push/caddy-sse-push/internal/problem"
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
	Path string `json:"path,omitempty"`

	// Who a client is: the sources are asked in order. A source that is absent from the request passes on to
	// the next; one that is present but invalid refuses the client (401). At most one user comes out of it.
	Users []identity.UserSource `json:"users,omitempty"`

	// Whether a client that no source knows may connect, without a user. Default: false, it is refused (401).
	Anonymous bool `json:"anonymous,omitempty"`

	// The topics that a connection may subscribe to: names, or patterns in which the segment `*` stands for
	// one segment and a last segment `**` for one or more. `{user}` is the user's name, with `%`, `/`, `*`
	// and control characters percent-encoded; what has it is not granted to a client without a user. Other placeholders
	// are those of the request. Default: none; a connection hears its user, itself and broadcasts.
	Topics []string `json:"topics,omitempty"`

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
	PublishHeader *PublishHeader `json:"publish_header,omitempty"`

	// Origins (scheme, host and port, exactly as a browser sends them) whose pages may subscribe from another
	// origin, with credentials. A lone `*` allows every origin, without credentials. Default: only pages of the same host.
	CORSOrigins []string `json:"cors_origins,omitempty"`

	// How long a stream may be silent before a comment line keeps it open. At least 1s. Default: 15s.
	Heartbeat caddy.Duration `json:"heartbeat,omitempty"`

	// How long a client waits before it reconnects: each is told a random time between the two. At least 100 ms. Default:
	// 1s to 3s.
	RetryMin caddy.Duration `json:"retry_min,omitempty"`
	RetryMax caddy.Duration `json:"retry_max,omitempty"`

	// How long a client may take nothing, with its socket full, before its stream is closed. From 1s to 24h. Default: 60s.
	WriteTimeout caddy.Duration `json:"write_timeout,omitempty"`

	HubSettings

	// Where the Caddyfile has the options whose placeholders are filled in when the config is loaded: file and line, by the
	// option's name in this JSON. Error messages repeat it. Default: none.
	Places map[string]string `json:"places,omitempty"`

	hub    *hubRef
	chain  *identity.Chain
	stream *streamRoute // nil without a path
	guard  *guard.Guard
	log    *zap.Logger

	complaints *problem.Complaints
	inspector  *Page
}

// HubSettings are the settings that belong to a hub rather than to a route. They stand in one handler
// of a hub, or are the same in all that have them.
type HubSettings struct {
	// The hub's name: handlers that name the same hub share subscribers and events. It must be given as
	// soon as a config has two handlers. Default: "default".
	Hub string `json:"hub,omitempty"`

	// How much of the past a hub keeps in memory, for clients that resume.
	History *History `json:"history,omitempty"`

	// What a hub admits.
	Limits *Limits `json:"limits,omitempty"`

	// How long streams are closed over, at most, when Caddy exits or the hub leaves the config, so that clients come back
	// spread out. Up to 1h. Default: 3s.
	Drain *caddy.Duration `json:"drain,omitempty"`

	// A secret of at least 32 bytes that the ids of connections are made with whose clients name themselves
	// (`?client=`). All nodes must have the same. Placeholders are filled in when the config is loaded. Default: a random
	// one, until Caddy exits.
	ClientKey string `json:"client_key,omitempty"`

	// Publishes which users come and go. Default: not at all.
	Presence *Presence `json:"presence,omitempty"`

	// The ordered log behind the hub. Default: memory.
	BrokerRaw json.RawMessage `json:"broker,omitempty" caddy:"namespace=sse_push.brokers inline_key=name"`
}

// History bounds the window of past events that a hub keeps; the first bound reached trims.
type History struct {
	// How many events. Default: 10000. 0 keeps the default; -1 keeps none.
	Events int `json:"events,omitempty"`
	// How old. Default: 1h.
	Age caddy.Duration `json:"age,omitempty"`
	// How many bytes, encoded. Default: 64 MiB.
	Bytes int64 `json:"bytes,omitempty"`
}

// Limits bound what a hub takes on.
type Limits struct {
	// Connections in all. Default: no limit of its own; the hubs without one have 80 % of the process's file descriptors together. -1: no limit.
	Connections int `json:"connections,omitempty"`
	// Connections a user. Default: 20. -1: no limit.
	PerUser int `json:"per_user,omitempty"`
	// Connections a client address (IPv6: a /64). Default: no limit.
	PerIP int `json:"per_ip,omitempty"`
	// Bytes of an event's data. Default: 1 MiB.
	Event int64 `json:"event,omitempty"`
	// Bytes that may wait for one connection before it is put back to catching up from the history. Default: 64 KiB.
	Pending int64 `json:"pending,omitempty"`
	// Bytes that may wait for all connections of the hub; an event that waits for several counts once. Past it, those with
	// most are put back to catching up. Default: 1 GiB. -1: no limit.
	Memory int64 `json:"memory,omitempty"`
	// New connections a second, and as many at once. A client that comes too early is told when to come again. Addresses (IPv6:
	// networks of /64) that come at the same time have equal shares, and one alone may have all. Default: no limit.
	Rate int `json:"rate,omitempty"`
}

// Presence publishes an event `sse:presence` whenever a user comes or goes: `{"user": "…", "state": "join"}`, or `leave`.
type Presence struct {
	// The topic that it is published to. Who is to hear it must be granted that topic.
	Topic string `json:"topic"`
	// How long a user may have no connection, as between two pages, without having left. Up to 1h. Default: 5s.
	Debounce caddy.Duration `json:"debounce,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.sse_push",
		New: func() caddy.Module { return new(Handler) },
	}
}

// connKey is of the connection that a request came by, in its context.
type connKey struct{}

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
	settings := h.HubSettings // loading the broker takes its JSON away
	if h.Heartbeat == 0 {
		h.Heartbeat = caddy.Duration(defaultHeartbeat)
	}
	if h.RetryMin == 0 {
		h.RetryMin = caddy.Duration(defaultRetryMin)
	}
	if h.RetryMax == 0 {
		h.RetryMax = max(h.RetryMin, caddy.Duration(defaultRetryMax))
	}
	if h.WriteTimeout == 0 {
		h.WriteTimeout = caddy.Duration(defaultWriteTimeout)
	}
	if err := h.check(); err != nil {
		return err
	}
	h.complaints = new(problem.Complaints)
	if h.chain, err = identity.NewChain(identity.Settings{
		Path: h.Path, Users: h.Users, Anonymous: h.Anonymous, Upstream: h.Upstream, Topics: h.Topics,
	}, h.log, h.complaints); err != nil {
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
	var broker brokerModule
	if h.BrokerRaw != nil {
		guest, err := ctx.LoadModule(h, "BrokerRaw")
		if err != nil {
			return h.placed("broker", fmt.Errorf("loading broker: %w", err))
		}
		var ok bool
		if broker, ok = guest.(brokerModule); !ok {
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
		h.stream = &streamRoute{
			path: h.Path, chain: h.chain, cors: policy, hub: h.hub, log: h.log,
			heartbeat: time.Duration(h.Heartbeat), writeTimeout: time.Duration(h.WriteTimeout),
			retryMin: time.Duration(h.RetryMin), retryMax: time.Duration(h.RetryMax),
			shared: &arrival{path: h.Path},
		}
		h.hub.routes.list = append(h.hub.routes.list, h.stream)
	}
	if srv, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok && h.Path != "" {
		srv.RegisterConnContext(func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		})
	}
	if l, most := h.Limits, descriptors(); l != nil && (l.Connections < 0 || l.Connections > most) {
		h.log.Warn(fmt.Sprintf("limits: connections: the process may open %d files, and each connection takes one: "+
			"when they are used up, the internal route cannot be reached either", most))
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

// complain logs what a client's request has brought about, once a minute.
func (h *Handler) complain(level zapcore.Level, message string, fields ...zap.Field) {
	h.complaints.Log(h.log, level, message, fields...)
}
