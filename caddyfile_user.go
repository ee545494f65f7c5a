package ssepush

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sse-push/caddy-sse-push/internal/identity"
	"github.com/sse-push/caddy-sse-push/internal/secret"
)

// userOption adds a source to users.
func userOption(users *[]identity.UserSource) option {
	last := func() *identity.UserSource { return &(*users)[len(*users)-1] }
	return option{
		usage: "user ticket|jwt|authorize|header|query|cookie …, or user <placeholder>", min: 1, max: many, repeats: true,
		set: func(args []string) error {
			source, err := parseUser(args)
			*users = append(*users, source)
			return err
		},
		late:  func() []option { return userOptions(last()) },
		check: func() error { return last().Check() },
	}
}

// parseUser reads the arguments of `user`.
func parseUser(args []string) (identity.UserSource, error) {
	s := identity.UserSource{Source: args[0]}
	switch {
	case strings.Contains(args[0], "{"):
		s.Source, s.Name = "placeholder", args[0]
		if len(args) > 1 {
			return s, fmt.Errorf("%q: a placeholder takes no further word", args[1])
		}
		return s, s.Check()
	case args[0] == "placeholder" || !slices.Contains(identity.Kinds, args[0]):
		return s, fmt.Errorf("%q is not known; known are ticket, jwt, authorize, header, query, cookie, and a placeholder such as {http.auth.user.id}", args[0])
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
func userOptions(s *identity.UserSource) []option {
	switch {
	case s.Ticket != nil:
		return []option{carrierOption(&s.Ticket.From), durationOption("max_age", &s.Ticket.MaxAge)}
	case s.JWT != nil:
		j := s.JWT
		return []option{
			checked(listOption("key <public key...>", &j.Keys), identity.CheckPublicKey), listOption("key_file <path...>", &j.KeyFiles),
			checked(listOption("secret <secret...>", &j.Secrets), secret.CheckKeyText),
			textOption("jwks <url>", &j.JWKS), durationOption("refresh", &j.Refresh),
			listOption("algorithms <name...>", &j.Algorithms),
			listOption("issuer <name...>", &j.Issuers), listOption("audience <name...>", &j.Audiences),
			textOption("user_claim <name>", &j.UserClaim), textOption("topics_claim <name>", &j.TopicsClaim),
			carrierOption(&j.From), durationOption("leeway", &j.Leeway),
			{usage: "allow_no_expiry", set: func([]string) error { j.AllowNoExpiry = true; return nil }},
		}
	case s.Authorize != nil:
		a := s.Authorize
		return []option{
			listOption("cookies <name...>", &a.Cookies), listOption("headers <name...>", &a.Headers),
			durationOption("ttl", &a.TTL), durationOption("timeout", &a.Timeout), durationOption("expires", &a.Expires),
			numberOption("concurrency", &a.Concurrency),
		}
	}
	return nil
}

func carrierOption(from *[]identity.Carrier) option {
	return option{usage: "from header|query|cookie <name>", min: 2, max: 2, repeats: true, set: func(args []string) error {
		*from = append(*from, identity.Carrier{In: args[0], Name: args[1]})
		return nil
	}}
}
