package identity

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/placeholder"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/request"
	"github.com/sse-push/caddy-sse-push/internal/rules"
)

// Settings say how a subscribe route identifies its clients, and what it grants them.
type Settings struct {
	Path      string       // the route's
	Users     []UserSource // asked in order
	Anonymous bool         // whether a client that no source knows is let in
	Upstream  bool         // whether the app says who a client is, by its answer to the subscribe request
	Topics    []string     // what every client is granted
}

// Chain identifies the clients of a subscribe route: it asks the route's user sources in order. It may be used by several
// goroutines at once.
type Chain struct {
	path      string
	sources   []*source
	anonymous bool
	upstream  bool
	topics    []string

	log        *zap.Logger
	complaints *problem.Complaints
}

// NewChain returns the chain of a route. Its settings must have passed their checks.
func NewChain(s Settings, log *zap.Logger, complaints *problem.Complaints) (*Chain, error) {
	c := &Chain{path: s.Path, anonymous: s.Anonymous, upstream: s.Upstream, topics: s.Topics, log: log, complaints: complaints}
	for i, user := range s.Users {
		src, err := newSource(user, log)
		if err != nil {
			return nil, fmt.Errorf("users[%d]: %w", i, err)
		}
		c.sources = append(c.sources, src)
	}
	return c, nil
}

// Identify returns who sent a request. params are its parameters, those of the URL and those of a body together; nil stands
// for the URL's. Identify calls enter, if there is one, to have the client admitted: before an app is asked about it, and at
// the latest before it counts as identified. A request without a user, or with a proof that does not hold, is refused
// without it.
func (c *Chain) Identify(r *http.Request, params url.Values, enter func() *problem.Problem) (Identity, *problem.Problem) {
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if params == nil {
		params = r.URL.Query()
	}
	req := &attempt{Request: r, params: params, route: c.path, admit: enter}
	id, p := c.find(req, repl)
	if p != nil {
		return Identity{}, p
	}
	if id.User == "" && !c.anonymous {
		return Identity{}, problem.New(http.StatusUnauthorized, "the request names no user (%s), and clients without one are refused", c.asks())
	}
	if p := req.enter(); p != nil {
		return Identity{}, p
	}
	id.Topics = expandTopics(c.topics, id.User, repl)
	if id.Grant != nil {
		id.Topics = slices.Concat(id.Topics, id.Grant.Topics)
	}
	return id, nil
}

// find returns the user that the first source which knows one names, with its proof; an empty Identity if none does.
func (c *Chain) find(r *attempt, repl *caddy.Replacer) (Identity, *problem.Problem) {
	for _, s := range c.sources {
		if s.verifier != nil {
			g, err := s.verifier.verify(r)
			if err != nil {
				return Identity{}, c.refused(s, r, err)
			}
			if g != nil {
				return Identity{User: g.User, Grant: g}, nil
			}
			continue
		}
		user, err := s.user(r, repl)
		if err != nil {
			p := problem.New(http.StatusUnauthorized, "the user (%s %s) %v", s.Source, s.Name, err)
			if s.Source == "query" {
				p = p.OfField(s.Name)
			}
			return Identity{}, p
		}
		if user != "" {
			return Identity{User: user}, nil
		}
	}
	return Identity{}, nil
}

// asks returns the sources that are asked, with the names of query parameters: those stand in URLs anyway.
func (c *Chain) asks() string {
	var all []string
	for _, s := range c.sources {
		what := s.Source
		if what == "query" {
			what += " " + s.Name
		}
		all = append(all, what)
	}
	return strings.Join(all, ", ")
}

// refused turns a verifier's error into an answer, and logs its cause.
func (c *Chain) refused(s *source, r *attempt, err error) *problem.Problem {
	var stopped *problem.Problem
	if errors.As(err, &stopped) { // the client was not admitted
		return stopped
	}
	e := &refusal{status: http.StatusUnauthorized, public: "invalid", cause: err.Error()}
	errors.As(err, &e)
	if r.Context().Err() == nil { // otherwise the client has left, and nothing is wrong with its proof
		level := zap.WarnLevel
		if e.status != 0 && e.public != "invalid" { // expired, or refused by the app: that happens
			level = zap.InfoLevel
		}
		remote, _ := request.ClientAddress(r.Request)
		fields := []zap.Field{zap.String("remote", remote)}
		if e.detail != "" {
			fields = append(fields, zap.String("detail", e.detail))
		}
		c.complaints.Log(c.log, level, "user "+s.Source+" refused: "+e.cause, fields...)
	}
	if e.status == 0 {
		return tryAgain(e)
	}
	return problem.New(e.status, "the user (%s) is refused: %s", s.Source, e.public)
}

// Vouches reports whether the route still accepts the proof that a connection was admitted with, perhaps under an earlier
// config; nil stands for a client whose word was taken.
func (c *Chain) Vouches(g *Grant) bool {
	switch {
	case g == nil:
		return true
	case g.by == byUpstream:
		return c.upstream
	}
	return slices.ContainsFunc(c.sources, func(s *source) bool { return s.verifier != nil && s.verifier.vouches(g.by) })
}

// MayGrant reports whether a client of the route can be granted a topic: by the route's topics, or by a proof that grants
// more.
func (c *Chain) MayGrant(topic string) bool {
	return c.upstream || slices.ContainsFunc(c.sources, func(s *source) bool { return s.grantsMore() }) ||
		slices.ContainsFunc(c.topics, func(entry string) bool {
			return rules.Match(placeholder.Any.ReplaceAllString(entry, "*"), topic)
		})
}

// Forget drops what apps have said of a user, so that they are asked anew; "" stands for all users. Whatever takes something
// away from a user must call it.
func (c *Chain) Forget(user string) {
	for _, s := range c.sources {
		if s.app != nil {
			s.app.forgetUser(user)
		}
	}
}

// Warnings says which sources a client can forge, with what to use instead, and which can never name a user.
func (c *Chain) Warnings() (warnings []string) {
	for _, s := range c.sources {
		warnings = append(warnings, s.warnings()...)
	}
	return warnings
}

// ClientHeaders returns the headers in which clients say who they are, for CORS.
func (c *Chain) ClientHeaders() (names []string) {
	for _, s := range c.sources {
		names = append(names, s.clientHeaders()...)
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "*" }) // which would stand for all headers
}

// Filled returns those of the route's topics that hold placeholders of the request, with what they came out as; nil if there
// are none.
func (c *Chain) Filled(r *http.Request, user string) (filled map[string]string) {
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	for _, entry := range c.topics {
		if !asksRequest(entry) {
			continue
		}
		if filled == nil {
			filled = map[string]string{}
		}
		for _, topic := range expandTopics([]string{entry}, user, repl) {
			filled[entry] = topic
		}
	}
	return filled
}

// Regrant returns what the route grants to a connection that was admitted under an earlier config. The values of its
// request's placeholders are no longer known: entries with such placeholders come out as they did then (filled), and new
// ones are not granted.
func (c *Chain) Regrant(user string, filled map[string]string, g *Grant) Identity {
	id := Identity{User: user, Grant: g}
	repl := caddy.NewEmptyReplacer()
	for _, entry := range c.topics {
		if topic, ok := filled[entry]; ok {
			id.Topics = append(id.Topics, topic)
		} else if !asksRequest(entry) {
			id.Topics = append(id.Topics, expandTopics([]string{entry}, user, repl)...)
		}
	}
	if g != nil {
		id.Topics = append(id.Topics, g.Topics...)
	}
	return id
}
