package identity

import (
	"errors"
	"fmt"
	"net/textproto"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"golang.org/x/net/http/httpguts"

	"github.com/sse-push/caddy-sse-push/internal/placeholder"
	"github.com/sse-push/caddy-sse-push/internal/request"
	"github.com/sse-push/caddy-sse-push/internal/rules"
)

// UserSource is one place of a request that can name the user.
type UserSource struct {
	// What kind of source: `ticket`, `jwt`, `authorize`, `header`, `query`, `cookie` or `placeholder`.
	// Any client can forge a `query` parameter, a `cookie` whose value the app does not check, and a `header`
	// without `from`.
	Source string `json:"source" placeholders:"none"`

	// The name of the header, query parameter or cookie, or the text with placeholders, such as
	// `{http.request.header.X-User-ID}` or `{http.auth.user.id}`. Required for these sources. Default: none.
	Name string `json:"name,omitempty"`

	// For a header: the addresses (CIDR) of the direct peers that are trusted to set it; from any other peer
	// the header counts as absent. Default: every peer.
	From []string `json:"from,omitempty"`

	// How tickets are checked. Required for the source `ticket`. Default: none.
	Ticket *Ticket `json:"ticket,omitempty"`

	// How JSON Web Tokens are checked. Required for the source `jwt`. Default: none.
	JWT *JWT `json:"jwt,omitempty"`

	// How the app is asked. Required for the source `authorize`. Default: none.
	Authorize *Authorize `json:"authorize,omitempty"`
}

// Kinds are the kinds of UserSource.
var Kinds = []string{"ticket", "jwt", "authorize", "header", "query", "cookie", "placeholder"}

// Check reports what is wrong with the settings.
func (s *UserSource) Check() error {
	for source, given := range map[string]bool{"ticket": s.Ticket != nil, "jwt": s.JWT != nil, "authorize": s.Authorize != nil} {
		if given && source != s.Source {
			return fmt.Errorf("%s: has no effect with the source %q", source, s.Source)
		}
	}
	switch s.Source {
	case "ticket", "jwt", "authorize":
		if err := s.checkProof(); err != nil {
			return err
		}
	case "header", "cookie":
		if !placeholder.AtLoad.MatchString(s.Name) && !httpguts.ValidHeaderFieldName(s.Name) {
			return fmt.Errorf("name: %q is not the name of a %s", s.Name, s.Source)
		}
	case "query":
		if s.Name == "" {
			return errors.New("name: must not be empty")
		}
	case "placeholder":
		if !placeholder.Any.MatchString(s.Name) {
			return fmt.Errorf("name: %q holds no placeholder, so that all clients would be one user", s.Name)
		}
		if strings.ContainsAny(placeholder.Any.ReplaceAllString(s.Name, ""), "{}") {
			return fmt.Errorf("name: %q has an unmatched brace", s.Name)
		}
	default:
		return fmt.Errorf("source: %q must be one of %s", s.Source, strings.Join(Kinds, ", "))
	}
	if len(s.From) == 0 {
		return nil
	}
	if s.Source != "header" {
		return fmt.Errorf("from: applies to a header, not to a %s", s.Source)
	}
	if _, err := request.ParsePrefixes(placeholder.Settled(s.From...)); err != nil {
		return fmt.Errorf("from: %w", err)
	}
	return nil
}

// checkProof checks the settings of a ticket, a jwt or an authorize.
func (s *UserSource) checkProof() error {
	var settings interface{ Check() error }
	switch {
	case s.Ticket != nil:
		settings = s.Ticket
	case s.JWT != nil:
		settings = s.JWT
	case s.Authorize != nil:
		settings = s.Authorize
	default:
		return fmt.Errorf("%s: is missing", s.Source)
	}
	if s.Name != "" {
		return fmt.Errorf("name: applies to a header, a query or a cookie, not to a %s", s.Source)
	}
	return settings.Check()
}

// source is a UserSource that is ready for requests.
type source struct {
	UserSource
	from     request.Prefixes
	verifier verifier    // of a ticket, a jwt, an authorize; nil: the client's word is taken
	app      *authorizer // of an authorize
}

func newSource(user UserSource, log *zap.Logger) (*source, error) {
	s := &source{UserSource: user}
	if s.Source == "header" {
		s.Name = textproto.CanonicalMIMEHeaderKey(s.Name)
	}
	var err error
	if s.from, err = request.ParsePrefixes(s.From); err != nil {
		return nil, fmt.Errorf("from: %w", err)
	}
	switch s.Source {
	case "ticket":
		s.verifier = newTicketVerifier(s.Ticket)
	case "jwt":
		s.verifier, err = newJWTVerifier("user jwt", s.JWT, log)
	case "authorize":
		s.app = newAuthorizer(s.Authorize)
		s.verifier = s.app
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Source, err)
	}
	return s, nil
}

// user returns the user that a request names; "" if it names none.
func (s *source) user(r *attempt, repl *caddy.Replacer) (string, error) {
	var values []string
	switch s.Source {
	case "header":
		if len(s.From) > 0 {
			if addr, ok := request.Peer(r.Request); !ok || !s.from.Contains(addr) {
				return "", nil
			}
		}
		values = r.Header[s.Name]
	case "query":
		values = r.params[s.Name]
	case "cookie":
		values = request.Cookies(r.Request, s.Name)
	case "placeholder":
		// The user is absent if any of the placeholders is: "tenant-" of "tenant-{…}" names no user.
		if user, err := repl.ReplaceOrErr(s.Name, true, true); err == nil {
			values = []string{user}
		}
	}
	if !slices.ContainsFunc(values, func(v string) bool { return v != "" }) {
		return "", nil
	}
	// Readers differ in which of several counts. That would be a way around a check by a proxy in front.
	if len(values) > 1 {
		return "", errors.New("is given more than once")
	}
	return values[0], rules.CheckName(values[0])
}

// grantsMore reports whether the source can grant topics beside the route's.
func (s *source) grantsMore() bool {
	return s.Ticket != nil || s.Authorize != nil || s.JWT != nil && s.JWT.TopicsClaim != ""
}

// warnings says whether a client can forge the source, with what to use instead, and whether it can ever name a user.
func (s *source) warnings() (warnings []string) {
	const instead = "any client can set it to any user; use ticket, jwt or authorize, or have the app check it first (forward_auth)"
	switch {
	case s.Source == "header" && len(s.From) == 0:
		warnings = append(warnings, fmt.Sprintf("user header %s: %s, or name the proxies that may set it, with from", s.Name, instead))
	case s.Source == "query", s.Source == "cookie":
		warnings = append(warnings, fmt.Sprintf("user %s %s: %s", s.Source, s.Name, instead))
	case s.Source == "placeholder" && strings.Contains(s.Name, "{http.request.uri.query."):
		warnings = append(warnings, fmt.Sprintf("user %s: %s", s.Name, instead))
	case s.Source == "jwt":
		warnings = append(warnings, s.JWT.warnings()...)
	}
	if s.Source == "header" && strings.ContainsAny(s.Name, "_.") {
		warnings = append(warnings, fmt.Sprintf("user header %s: Caddy drops headers with _ or . in their names, "+
			"unless the server option expected_underscore_headers or expected_dot_headers lists them", s.Name))
	}
	return warnings
}

// clientHeaders returns the headers in which a client says who it is. Those of `user header … from` are set by a proxy; a
// page that could send them would speak for its visitor's address.
func (s *source) clientHeaders() []string {
	switch {
	case s.Source == "header" && len(s.From) == 0:
		return []string{s.Name}
	case s.Ticket != nil:
		return carryingHeaders(s.Ticket.From)
	case s.JWT != nil:
		return carryingHeaders(s.JWT.From)
	case s.Authorize != nil:
		return s.Authorize.Headers
	}
	return nil
}
