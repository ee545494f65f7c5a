package ssepush

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-push/caddy-sse-push/internal/identity"
	"github.com/sse-push/caddy-sse-push/internal/secret"
)

// isProof reports whether a source has settings of its own.
func isProof(source string) bool {
	return slices.Contains([]string{"ticket", "jwt", "authorize"}, source)
}

// parseProof reads what stands behind `user ticket`, `user jwt` and `user authorize`.
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

// userOptions are what the block of a source may hold; nil: it has none.
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
			{usage: "concurrency <number>", min: 1, max: 1, set: func(args []string) error {
				n, err := strconv.Atoi(args[0])
				if err != nil || n < 1 {
					return fmt.Errorf("%q must be a number of at least 1", args[0])
				}
				a.Concurrency = n
				return nil
			}},
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

func durationOption(name string, d *caddy.Duration) option {
	return option{usage: name + " <duration>", min: 1, max: 1, set: setDuration(d)}
}

func listOption(usage string, list *[]string) option {
	return option{usage: usage, min: 1, max: many, repeats: true, set: func(args []string) error {
		*list = append(*list, args...)
		return nil
	}}
}

// checked returns an option that looks at each of its arguments at once, so that an error names their line.
func checked(o option, check func(string) error) option {
	set := o.set
	o.set = func(args []string) error { return errors.Join(set(args), checkEach(args, check)) }
	return o
}

func textOption(usage string, text *string) option {
	return option{usage: usage, min: 1, max: 1, set: func(args []string) error {
		*text = args[0]
		return nil
	}}
}
