// Package mercure lets a hub speak the Mercure protocol with subscribers and publishers, in both versions that are in use: 0.x
// (Symfony's default) and 1.0 (Laravel's). It is a Caddy module in the namespace sse_push.protocols.
//
// The two versions share the hub's path and nothing else: each has its own keys, its own form of token and its own cookie, and no
// request falls back from one to the other. A subscriber speaks the version of its parameters, a publisher that of its token.
package mercure

import (
	"fmt"
	"net/http"
	"runtime"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-push/caddy-sse-push/internal/fair"
	"github.com/sse-push/caddy-sse-push/internal/guard"
	"github.com/sse-push/caddy-sse-push/internal/matcher"
	"github.com/sse-push/caddy-sse-push/internal/placeholder"
	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/reach"
	"github.com/sse-push/caddy-sse-push/internal/subscribe"
	"github.com/sse-push/caddy-sse-push/mercure/internal/access"
	"github.com/sse-push/caddy-sse-push/mercure/internal/subscription"
	"github.com/sse-push/caddy-sse-push/mercure/internal/update"
)

func init() { caddy.RegisterModule(new(Module)) }

const (
	defaultPath = "/.well-known/mercure"
	wellKnown   = "/.well-known/oauth-protected-resource" // RFC 9728; the hub's path follows
)

// Module speaks Mercure with the clients of a hub. It needs `publisher_jwt` or `subscriber_jwt` to speak version 0.x, and `issuers` to
// speak 1.0.
type Module struct {
	// The hub's path. Default: `/.well-known/mercure`.
	Path string `json:"path,omitempty" placeholders:"none"`

	// What signs the tokens of publishers that speak 0.x. Default: none, no such token is accepted.
	PublisherJWT *access.Key `json:"publisher_jwt,omitempty"`

	// What signs the tokens of subscribers that speak 0.x. Default: none, no such token is accepted.
	SubscriberJWT *access.Key `json:"subscriber_jwt,omitempty"`

	// The issuers of tokens of version 1.0. Default: none, 1.0 is not spoken.
	Issuers []access.Issuer `json:"issuers,omitempty"`

	// The audience (`aud`) that a token of version 1.0 must be for: the URL by which clients know the hub. Required with `issuers`.
	// Default: none.
	ResourceIdentifier string `json:"resource_identifier,omitempty"`

	// Whether clients without a token may subscribe. They hear public updates only. Default: false, they are refused.
	Anonymous bool `json:"anonymous,omitempty"`

	// The cookie that holds a token. Default: `mercureAuthorization` for 0.x, `__Secure-mercure_access_token` for 1.0.
	CookieName string `json:"cookie_name,omitempty"`

	// Origins whose pages may subscribe from another origin, with credentials. A lone `*` allows every origin, without credentials.
	// Default: only pages of the same host.
	CORSOrigins []string `json:"cors_origins,omitempty"`

	// Origins whose pages may publish by a cookie. Default: none.
	PublishOrigins []string `json:"publish_origins,omitempty"`

	// Whether the hub publishes its subscribers' subscriptions, by updates and by an API. Default: false.
	Subscriptions bool `json:"subscriptions,omitempty"`

	keys     *access.Keyring
	base     *matcher.Base
	endpoint *endpoint
}

// CaddyModule returns the Caddy module information.
func (*Module) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "sse_push.protocols.mercure",
		New: func() caddy.Module { return new(Module) },
	}
}

// Provision fills in placeholders, and reads the keys.
func (m *Module) Provision(ctx caddy.Context) error {
	if name, err := m.checkPlaceholders(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	repl := caddy.NewReplacer()
	if err := placeholder.Each(m, func(o placeholder.Option) error { return o.FillIn(repl) }); err != nil {
		return err
	}
	if err := m.check(); err != nil {
		return err
	}
	var err error
	if m.base, err = matcher.NewBase(m.origin() + m.path()); err != nil {
		return fmt.Errorf("resource_identifier: %w", err)
	}
	m.keys, err = access.NewKeyring(access.Settings{
		Publisher: m.PublisherJWT, Subscriber: m.SubscriberJWT, Issuers: m.Issuers, Audience: m.ResourceIdentifier,
		Base: m.base, Payloads: m.Subscriptions,
	}, ctx.Logger())
	return err
}

// checkPlaceholders reports the first placeholder that its option does not take, and the option.
func (m *Module) checkPlaceholders() (name string, err error) {
	err = placeholder.Each(m, func(o placeholder.Option) error {
		for _, text := range o.Texts() {
			if err := o.Check(text); err != nil {
				name = o.Name
				return err
			}
		}
		return nil
	})
	return name, err
}

// Paths implements subscribe.Protocol.
func (m *Module) Paths() []reach.Path {
	paths := []reach.Path{{Name: "mercure", Path: m.path()}}
	if len(m.Issuers) > 0 {
		paths = append(paths, reach.Path{Name: "mercure's metadata", Path: wellKnown + m.path()})
	}
	return paths
}

// Attach implements subscribe.Protocol.
func (m *Module) Attach(s subscribe.Site) error {
	e := &endpoint{
		path: m.path(), resource: m.ResourceIdentifier, metadataURL: m.origin() + wellKnown + m.path(), base: m.base, keys: m.keys,
		anonymous: m.Anonymous, cookieName: m.CookieName, publishOrigins: m.PublishOrigins, tellsSubscriptions: m.Subscriptions,
		hub: s.Hub, turns: fair.New(max(1, runtime.GOMAXPROCS(0)/2), maxTurns), log: s.Log,
	}
	for _, i := range m.Issuers {
		if i.AuthorizationServer {
			e.authorizationServers = append(e.authorizationServers, i.Issuer)
		}
	}
	var err error
	if e.cors, err = guard.NewCORS(m.CORSOrigins, nil, []string{"Last-Event-ID", "Mercure-Last-Event-ID", "Link"}); err != nil {
		return fmt.Errorf("cors_origins: %w", err)
	}
	if e.route, err = newRoute(e.path, s, e.cors, e.keys, m.Anonymous); err != nil {
		return err
	}
	s.Hub.AddRoute(e.route)
	s.Hub.Forbid(update.Reserved(m.base))
	if m.Subscriptions {
		err := s.Hub.Beside("mercure's subscriptions at "+e.path, m.origin(), func(theHub *pool.Hub) error {
			subscription.Of(theHub, e.path, e.base)
			return nil
		})
		if err != nil {
			return fmt.Errorf("resource_identifier: %w", err)
		}
	}
	for _, w := range m.warnings() {
		s.Log.Warn("mercure: " + w)
	}
	m.endpoint = e
	return nil
}

// ServeHTTP implements subscribe.Protocol.
func (m *Module) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.endpoint.serve(w, r) }

// Interface guards.
var (
	_ caddy.Provisioner  = (*Module)(nil)
	_ subscribe.Protocol = (*Module)(nil)
)
