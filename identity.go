package ssepush

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/rules"
)

// Identity is who a client is and what it may hear.
type Identity struct {
	// The user's name; empty for an anonymous client.
	User string
	// The grant: names and patterns of topics, placeholders filled in. It may be shared, so it is not changed.
	Topics []string
	// When it ends; zero: never.
	Expires time.Time

	grant *grant // what it was proved by; nil: a source's word was taken
}

// granted reports whether the client may have a topic: a name that the grant covers, or a pattern that
// stands in it literally.
func (id Identity) granted(topic string) bool {
	if slices.Contains(id.Topics, topic) {
		return true
	}
	return !rules.IsPattern(topic) && slices.ContainsFunc(id.Topics, func(p string) bool { return rules.Match(p, topic) })
}

// provisionUsers makes the user sources ready for requests.
func (h *Handler) provisionUsers() error {
	h.complaints = new(problem.Complaints)
	for i := range h.Users {
		s := &h.Users[i]
		if s.Source == "header" {
			s.Name = textproto.CanonicalMIMEHeaderKey(s.Name)
		}
		var err error
		if s.from, err = parsePrefixes(s.From); err != nil {
			return fmt.Errorf("users[%d]: from: %w", i, err)
		}
		if p := s.proof(); p != nil {
			if s.verifier, err = p.provision(); err != nil {
				return fmt.Errorf("users[%d]: %s: %w", i, s.Source, err)
			}
			if v, ok := s.verifier.(*jwtVerifier); ok && v.set != nil {
				v.set.log = h.log
			}
		}
	}
	return nil
}

// warnings returns which user sources a client can forge, with what to use instead, and which can never name anyone.
func (h *Handler) warnings() []string {
	var warnings []string
	const instead = "any client can set it to any user; use ticket, jwt or authorize, or have the app check it first (forward_auth)"
	for _, s := range h.Users {
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
	}
	return warnings
}

// identify finds out who sent a request. params are its parameters, those of the URL and those of a body
// together; nil stands for the URL's. Before the app is asked, or at the latest before a client is taken for known, enter is
// called, if there is one: it admits the client or says why not. One that is nobody, or not who it claims to be, does not
// get so far.
func (h *Handler) identify(r *http.Request, params url.Values, enter func() error) (Identity, *problem.Problem) {
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if params == nil {
		params = r.URL.Query()
	}
	var user string
	for i := range h.Users {
		s := &h.Users[i]
		if s.verifier != nil {
			if a, ok := s.verifier.(*authorizer); ok && a.asks(r) {
				if p := entered(&enter); p != nil {
					return Identity{}, p
				}
			}
			g, err := s.verifier.verify(r, params, h.Path)
			if err != nil {
				return Identity{}, h.refused(s, r, err)
			}
			if g == nil {
				continue
			}
			if p := entered(&enter); p != nil {
				return Identity{}, p
			}
			topics := slices.Concat(expandGrant(h.Topics, g.user, repl), g.topics)
			return Identity{User: g.user, Topics: topics, Expires: g.expires, grant: g}, nil
		}
		var err error
		if user, err = s.user(r, params, repl); err != nil {
			p := problem.New(http.StatusUnauthorized, "the user (%s %s) %v", s.Source, s.Name, err)
			if s.Source == "query" {
				p = p.OfField(s.Name)
			}
			return Identity{}, p
		}
		if user != "" {
			break
		}
	}
	if user == "" && !h.Anonymous {
		return Identity{}, problem.New(http.StatusUnauthorized, "the request names no user, and clients without one are refused")
	}
	if p := entered(&enter); p != nil {
		return Identity{}, p
	}
	return Identity{User: user, Topics: expandGrant(h.Topics, user, repl)}, nil
}

// user returns the user that the source names; "" where it names none.
func (s *UserSource) user(r *http.Request, params url.Values, repl *caddy.Replacer) (string, error) {
	var values []string
	switch s.Source {
	case "header":
		if len(s.From) > 0 {
			if addr, ok := peer(r); !ok || !s.from.contains(addr) {
				return "", nil
			}
		}
		values = r.Header[s.Name]
	case "query":
		values = params[s.Name]
	case "cookie":
		values = cookies(r, s.Name)
	case "placeholder":
		// A text is as absent as any of its placeholders: "tenant-" of "tenant-{…}" is nobody.
		if user, err := repl.ReplaceOrErr(s.Name, true, true); err == nil {
			values = []string{user}
		}
	}
	if !slices.ContainsFunc(values, func(v string) bool { return v != "" }) {
		return "", nil
	}
	// Which of several counts would differ from one reader to the next: a way around a check in front.
	if len(values) > 1 {
		return "", errors.New("is given more than once")
	}
	return values[0], rules.CheckName(values[0])
}

// cookies returns the values of the cookies of a name. Unlike net/http it keeps those that hold bytes
// which should not be there: they are invalid, not absent.
func cookies(r *http.Request, name string) (values []string) {
	for _, line := range r.Header["Cookie"] {
		for pair := range strings.SplitSeq(line, ";") {
			n, v, ok := strings.Cut(strings.Trim(pair, " \t"), "=")
			if !ok || n != name {
				continue
			}
			if len(v) > 1 && v[0] == '"' && v[len(v)-1] == '"' {
				v = v[1 : len(v)-1]
			}
			values = append(values, v)
		}
	}
	return values
}

var errDrop = errors.New("not granted")

// expandGrant fills in the placeholders of a grant's entries. A value is escaped, so that it can add neither
// a segment nor a wildcard; an entry with one that is empty or unfit is left out.
func expandGrant(entries []string, user string, repl *caddy.Replacer) []string {
	if !slices.ContainsFunc(entries, func(e string) bool { return strings.Contains(e, "{") }) {
		return entries // one slice for all connections
	}
	grant := make([]string, 0, len(entries))
	for _, entry := range entries {
		topic, err := repl.ReplaceFunc(entry, func(variable string, value any) (any, error) {
			s := caddy.ToString(value)
			if variable == "user" {
				s = user
			}
			if s == "" || !utf8.ValidString(s) {
				return nil, errDrop
			}
			return rules.EscapeSegment(s), nil
		})
		if err == nil && rules.CheckPattern(topic) == nil {
			grant = append(grant, topic)
		}
	}
	return grant
}
