package ssepush

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sse-push/caddy-sse-push/internal/block"
	"github.com/sse-push/caddy-sse-push/internal/identity"
	"github.com/sse-push/caddy-sse-push/internal/secret"
)

// userOption adds a source to users.
func userOption(users *[]identity.UserSource) block.Option {
	last := func() *identity.UserSource { return &(*users)[len(*users)-1] }
	return block.Option{
		Usage: "user ticket|jwt|authorize|header|query|cookie …, or user <placeholder>", Min: 1, Max: block.Many, Repeats: true,
		Set: func(args []string) error {
			source, err := parseUser(args)
			*users = append(*users, source)
			return err
		},
		Late:  func() []block.Option { return userOptions(last()) },
		Check: func() error { return last().Check() },
	}
}

// parseUser reads the arguments of `user`.
func parseUser(args []string) (identity.UserSource, error) {
	s := identity.UserSource{Source: args[0]}
	switch {
	case strings.Contains(args[0], "{"):
		s.Source, s.Name = "placeholder", args[0]
		if len(args) > 1 {
			return s, fmt.Errorf("%q: a placeholder takes no further argument", args[1])
		}
		return s, s.Check()
	case args[0] == "placeholder" || !slices.Contains(identity.Kinds, args[0]):
		return s, fmt.Errorf("%q is unknown; it must be ticket, jwt, authorize, header, query, cookie, or a placeholder such as {http.auth.user.id}", args[0])
	case isProof(args[0]):
		return s, parseProof(&s, args[1:])
	case len(args) == 1:
		return s, fmt.Errorf("missing argument; write: user %s <name>", args[0])
	}
	s.Name = args[1]
	if more := args[2:]; len(more) > 0 {
		switch {
		case s.Source != "header":
			return s, fmt.Errorf("%q: too many arguments; write: user %s <name>", more[0], s.Source)
		case more[0] != "from" || len(more) == 1:
			return s, fmt.Errorf("%q: write: user header <name> from <cidr...>", more[0])
		}
		s.From = more[1:]
	}
	return s, s.Check()
}

// isProof reports whether a kind of source has settings of its own.
func isProof(source string) bool {
	return slices.Contains([]string{"ticket", "jwt", "authorize"}, source)
}

// parseProof reads the arguments of `user ticket`, `user jwt` and `user authorize`.
func parseProof(s *identity.UserSource, args []string) error {
	switch s.Source {
	case "ticket":
		if len(args) == 0 {
			return fmt.Errorf("missing argument; write: user ticket <secret...>")
		}
		s.Ticket = &identity.Ticket{Secrets: args}
		return s.Ticket.Check()
	case "jwt":
		if len(args) > 0 {
			return fmt.Errorf("%q: write: user jwt { … }", args[0])
		}
		s.JWT = new(identity.JWT)
	case "authorize":
		if len(args) != 1 {
			return fmt.Errorf("write: user authorize <path or URL>")
		}
		s.Authorize = &identity.Authorize{Target: args[0]}
	}
	return nil
}

// userOptions returns the lines that the block of a source may hold; nil if it takes no block.
func userOptions(s *identity.UserSource) []block.Option {
	switch {
	case s.Ticket != nil:
		return []block.Option{carrierOption(&s.Ticket.From), block.Duration("max_age", &s.Ticket.MaxAge)}
	case s.JWT != nil:
		j := s.JWT
		return []block.Option{
			block.Checked(block.List("key <public key...>", &j.Keys), identity.CheckPublicKey), block.List("key_file <path...>", &j.KeyFiles),
			block.Checked(block.List("secret <secret...>", &j.Secrets), secret.CheckKeyText),
			block.Text("jwks <url>", &j.JWKS), block.Duration("refresh", &j.Refresh),
			block.List("algorithms <name...>", &j.Algorithms),
			block.List("issuer <name...>", &j.Issuers), block.List("audience <name...>", &j.Audiences),
			block.Text("user_claim <name>", &j.UserClaim), block.Text("topics_claim <name>", &j.TopicsClaim),
			carrierOption(&j.From), block.Duration("leeway", &j.Leeway),
			block.Flag("allow_no_expiry", &j.AllowNoExpiry),
		}
	case s.Authorize != nil:
		a := s.Authorize
		return []block.Option{
			block.List("cookies <name...>", &a.Cookies), block.List("headers <name...>", &a.Headers),
			block.Duration("ttl", &a.TTL), block.Duration("timeout", &a.Timeout), block.Duration("expires", &a.Expires),
			block.Number("concurrency", &a.Concurrency),
		}
	}
	return nil
}

func carrierOption(from *[]identity.Carrier) block.Option {
	return block.Option{Usage: "from header|query|cookie <name>", Min: 2, Max: 2, Repeats: true, Set: func(args []string) error {
		*from = append(*from, identity.Carrier{In: args[0], Name: args[1]})
		return nil
	}}
}
