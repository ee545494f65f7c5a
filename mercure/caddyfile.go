package mercure

import (
	"errors"
	"fmt"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sse-push/caddy-sse-push/internal/block"
	"github.com/sse-push/caddy-sse-push/internal/guard"
	"github.com/sse-push/caddy-sse-push/internal/placeholder"
	"github.com/sse-push/caddy-sse-push/internal/request"
	"github.com/sse-push/caddy-sse-push/mercure/internal/access"
)

// UnmarshalCaddyfile sets up the module from Caddyfile tokens. Syntax:
//
//	mercure [<path>] {
//	    publisher_jwt       <key> [<algorithm>]
//	    publisher_jwks_url  <url> [<algorithm...>]
//	    subscriber_jwt      <key> [<algorithm>]
//	    subscriber_jwks_url <url> [<algorithm...>]
//	    issuer <iss> {
//	        publisher|subscriber {
//	            jwt      <key> [<algorithm>]
//	            jwks_uri <url> [<algorithm...>]
//	        }
//	        authorization_server
//	    }
//	    resource_identifier <url>
//	    anonymous
//	    cookie_name     <name>
//	    cors_origins    <origin...>|*
//	    publish_origins <origin...>
//	    subscriptions
//	}
//
// issuer may be repeated, the others may not.
func (m *Module) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the name
	at := block.PlaceOf(d)
	if args := d.RemainingArgs(); len(args) > 1 {
		return d.Errf("mercure: %q is one argument too many; write: mercure [<path>] {…}", args[1])
	} else if len(args) == 1 {
		m.Path = args[0]
	}
	if err := request.CheckPrefix(m.path()); err != nil {
		return d.Errf("mercure: path: %w", err)
	}
	if _, err := block.Parse(d, m.options(), func(block.Place) (string, error) { return m.checkPlaceholders() }); err != nil {
		return err
	}
	if err := m.check(); err != nil {
		return at.Wrap(fmt.Errorf("mercure: %w", err))
	}
	return nil
}

func (m *Module) options() []block.Option {
	return []block.Option{
		keyOption("publisher_jwt", &m.PublisherJWT), keySetOption("publisher_jwks_url <url> [<algorithm...>]", &m.PublisherJWT),
		keyOption("subscriber_jwt", &m.SubscriberJWT), keySetOption("subscriber_jwks_url <url> [<algorithm...>]", &m.SubscriberJWT),
		m.issuerOption(),
		block.Checked(block.Text("resource_identifier <url>", &m.ResourceIdentifier), checkResource),
		block.Flag("anonymous", &m.Anonymous),
		block.Checked(block.Text("cookie_name <name>", &m.CookieName), checkCookieName),
		{Usage: "cors_origins <origin...>", Min: 1, Max: block.Many, Set: func(args []string) error {
			m.CORSOrigins = args
			return guard.CheckCORS(placeholder.Settled(args...))
		}},
		{Usage: "publish_origins <origin...>", Min: 1, Max: block.Many, Set: func(args []string) error {
			m.PublishOrigins = args
			return block.CheckEach(placeholder.Settled(args...), request.CheckOrigin)
		}},
		block.Flag("subscriptions", &m.Subscriptions),
	}
}

func (m *Module) issuerOption() block.Option {
	last := func() *access.Issuer { return &m.Issuers[len(m.Issuers)-1] }
	role := func(name string, key **access.Key) block.Option {
		return block.Option{Usage: name + " {…}", Set: func([]string) error { return nil }, Block: []block.Option{
			keyOption("jwt", key), keySetOption("jwks_uri <url> [<algorithm...>]", key),
		}}
	}
	return block.Option{Usage: "issuer <iss> {…}", Min: 1, Max: 1, Repeats: true, Set: func(args []string) error {
		m.Issuers = append(m.Issuers, access.Issuer{Issuer: args[0]})
		return nil
	}, Late: func() []block.Option {
		i := last()
		return []block.Option{
			role("publisher", &i.Publisher), role("subscriber", &i.Subscriber), block.Flag("authorization_server", &i.AuthorizationServer),
		}
	}, Check: func() error { return last().Check() }}
}

var errTwoKeys = errors.New("there is already a key: a key and a key set exclude each other")

func keyOption(name string, key **access.Key) block.Option {
	return block.Option{Usage: name + " <key> [<algorithm>]", Min: 1, Max: 2, Set: func(args []string) error {
		if *key != nil {
			return errTwoKeys
		}
		*key = &access.Key{Key: args[0], Algorithms: args[1:]}
		return (*key).Check()
	}}
}

func keySetOption(usage string, key **access.Key) block.Option {
	return block.Option{Usage: usage, Min: 1, Max: block.Many, Set: func(args []string) error {
		if *key != nil {
			return errTwoKeys
		}
		*key = &access.Key{JWKSURI: args[0], Algorithms: args[1:]}
		return (*key).Check()
	}}
}

// Interface guards.
var _ caddyfile.Unmarshaler = (*Module)(nil)
