package ssepush

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/net/http/httpguts"

	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/placeholder"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/rules"
)

// grant is what a proof (a ticket, a token, an answer of the app) says of its bearer. It may be shared by connections,
// so it is not changed.
type grant struct {
	user    string
	topics  []string  // beside the route's own
	expires time.Time // zero: never
	limit   int       // how many connections the user may have; 0: as many as the hub allows
	once    string    // what only one living connection may hold; "" for any number
	by      string    // what has vouched for it: a key, an endpoint, with the rules that it was held to
}

// mayGrant reports whether a client of the route may be granted a topic: by topics, or by a proof that grants more.
func (h *Handler) mayGrant(topic string) bool {
	if h.Upstream {
		return true
	}
	for _, s := range h.Users {
		if s.Ticket != nil || s.Authorize != nil || s.JWT != nil && s.JWT.TopicsClaim != "" {
			return true
		}
	}
	return slices.ContainsFunc(h.Topics, func(entry string) bool {
		return rules.Match(placeholder.Any.ReplaceAllString(entry, "*"), topic)
	})
}

// verifier tells who sent a request by something that a client cannot forge.
type verifier interface {
	// verify returns what a request proves; nil where it holds nothing of the kind. The error is a *refusal.
	verify(r *http.Request, params url.Values, route string) (*grant, error)
	// vouches reports whether it could still give what an earlier one, of another config, has given.
	vouches(by string) bool
}

// refusal is why a proof is not taken.
type refusal struct {
	status int           // of the answer; 0: the client may come again
	public string        // what the client is told; where it may come again, the reason of sse:rejected
	cause  string        // what the log is told; one of few, as each is logged once a minute
	detail string        // the same, and different each time; no part of a secret
	again  time.Duration // after which a client may come again, at the earliest; 0: whenever it likes
}

func (e *refusal) Error() string { return e.cause }

func invalid(cause string) *refusal {
	return &refusal{status: http.StatusUnauthorized, public: "invalid", cause: cause}
}

func expired(since time.Duration) *refusal {
	return &refusal{
		status: http.StatusUnauthorized, public: "expired", cause: "expired",
		detail: since.Truncate(time.Second).String() + " ago, by this machine's clock",
	}
}

// proof is the verifier that a source is checked by; nil where its word is taken.
func (s *UserSource) proof() interface {
	check() error
	provision() (verifier, error)
} {
	switch {
	case s.Source == "ticket" && s.Ticket != nil:
		return s.Ticket
	case s.Source == "jwt" && s.JWT != nil:
		return s.JWT
	case s.Source == "authorize" && s.Authorize != nil:
		return s.Authorize
	}
	return nil
}

// checkProof checks the settings of a ticket, a jwt or an authorize.
func (s *UserSource) checkProof() error {
	p := s.proof()
	if p == nil {
		return fmt.Errorf("%s: is missing", s.Source)
	}
	if s.Name != "" {
		return fmt.Errorf("name: goes with a header, a query or a cookie, not with a %s", s.Source)
	}
	return p.check()
}

// refused turns a refusal into an answer, and says the reason where a client does not see it.
func (h *Handler) refused(s *UserSource, r *http.Request, err error) *problem.Problem {
	e := &refusal{status: http.StatusUnauthorized, public: "invalid", cause: err.Error()}
	errors.As(err, &e)
	if r.Context().Err() == nil { // otherwise the client has left, and nothing is wrong with its proof
		level := zap.WarnLevel
		if e.status != 0 && e.public != "invalid" { // expired, or by the app: it happens
			level = zap.InfoLevel
		}
		remote, _ := clientAddress(r)
		fields := []zap.Field{zap.String("remote", remote)}
		if e.detail != "" {
			fields = append(fields, zap.String("detail", e.detail))
		}
		h.complain(level, "user "+s.Source+" refused: "+e.cause, fields...)
	}
	if e.status == 0 {
		p := problem.RetryLater(http.StatusServiceUnavailable, e.again, "no stream just now (%s)", e.public)
		p.Again = e.public
		return p
	}
	return problem.New(e.status, "the user (%s) is refused: %s", s.Source, e.public)
}

// vouches reports whether a route still believes what a connection came with.
func (h *Handler) vouches(g *grant) bool {
	if g != nil && g.by == byUpstream {
		return h.Upstream
	}
	return g == nil || slices.ContainsFunc(h.Users, func(s UserSource) bool { return s.verifier != nil && s.verifier.vouches(g.by) })
}

// Carrier is a place of a request that a ticket or a token may stand in.
type Carrier struct {
	// `header`, `query` or `cookie`.
	In string `json:"in"`
	// The name of the header, query parameter or cookie. In `Authorization` it stands behind `Bearer`.
	Name string `json:"name"`
}

func checkCarriers(from []Carrier) error {
	for _, c := range from {
		if !slices.Contains([]string{"header", "query", "cookie"}, c.In) {
			return fmt.Errorf("from: %q is none of header, query, cookie", c.In)
		}
		if placeholder.AtLoad.MatchString(c.Name) {
			continue
		}
		if c.In == "query" && c.Name == "" || c.In != "query" && !httpguts.ValidHeaderFieldName(c.Name) {
			return fmt.Errorf("from: %q is not the name of a %s", c.Name, c.In)
		}
	}
	return nil
}

// carried returns what stands in the first of the places that holds anything; "" where none does.
func carried(from []Carrier, r *http.Request, params url.Values) (string, error) {
	for _, c := range from {
		var values []string
		switch c.In {
		case "query":
			values = params[c.Name]
		case "cookie":
			values = cookies(r, c.Name)
		case "header":
			values = r.Header[textproto.CanonicalMIMEHeaderKey(c.Name)]
			if strings.EqualFold(c.Name, "Authorization") {
				values = bearer(values)
			}
		}
		switch {
		case !slices.ContainsFunc(values, func(v string) bool { return v != "" }):
		case len(values) > 1:
			return "", invalid("given more than once")
		default:
			return values[0], nil
		}
	}
	return "", nil
}

// bearer takes the tokens out of Authorization headers. Other schemes are not ours.
func bearer(lines []string) (tokens []string) {
	for _, line := range lines {
		if scheme, token, ok := strings.Cut(line, " "); ok && strings.EqualFold(scheme, "Bearer") {
			tokens = append(tokens, strings.TrimSpace(token))
		}
	}
	return tokens
}

// checkTopics reports what is wrong with the topics that a proof grants.
func checkTopics(topics []string) error {
	if len(topics) > maxTopics {
		return fmt.Errorf("more than %d topics", maxTopics)
	}
	for _, t := range topics {
		if err := rules.CheckPattern(t); err != nil {
			return fmt.Errorf("a topic %w", err)
		}
	}
	return nil
}

// held is what living connections hold that only one may: the tickets for one use.
var held struct {
	mu sync.Mutex
	by map[string]*arrival
}

// enter takes what only one connection may hold, and reports whether it was free.
func (a *arrival) enter() bool {
	if a.grant.once == "" {
		return true
	}
	held.mu.Lock()
	defer held.mu.Unlock()
	if held.by[a.grant.once] != nil {
		return false
	}
	if held.by == nil {
		held.by = map[string]*arrival{}
	}
	held.by[a.grant.once] = a
	return true
}

// leave lets go of what a connection held.
func (a *arrival) leave() {
	if a.grant == nil {
		return
	}
	deadlines.remove(a.deadline)
	held.mu.Lock()
	defer held.mu.Unlock()
	if held.by[a.grant.once] == a {
		delete(held.by, a.grant.once)
	}
}

var errOverLimit = errors.New("over the limit that came with its grant")

// admit subscribes a client, within what it was granted.
func (p *pooledHub) admit(ctx context.Context, sub hub.Subscription, s *HubSettings) (*hub.Conn, error) {
	a, ok := sub.Route.(*arrival)
	if !ok || a.grant == nil {
		return p.subscribe(ctx, sub, s)
	}
	if !a.enter() {
		return nil, p.Crowded("in_use", sub.User)
	}
	conn, err := p.subscribe(ctx, sub, s)
	if err != nil {
		a.leave()
		return nil, err
	}
	// Afterwards, so that of two who come at once none slips through: rather both come again.
	if limit := a.grant.limit; limit > 0 && p.UserHere(sub.User) > limit {
		conn.Close(errOverLimit)
		return nil, p.Crowded("per_user", sub.User)
	}
	if !a.grant.expires.IsZero() {
		a.deadline = deadlines.add(conn, a.grant.expires)
	}
	return conn, nil
}
