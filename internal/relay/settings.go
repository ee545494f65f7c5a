package relay

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-push/caddy-sse-push/internal/egress"
	"github.com/sse-push/caddy-sse-push/internal/guard"
	"github.com/sse-push/caddy-sse-push/internal/placeholder"
	"github.com/sse-push/caddy-sse-push/internal/secret"
)

const (
	defaultConcurrent = 1000
	defaultPerUser    = 10
	defaultTimeout    = 10 * time.Minute
	defaultSilence    = 5 * time.Minute
	defaultAnswer     = 4 << 20

	maxTimeout = time.Hour
	maxAnswer  = 64 << 20
)

// Settings let the app have the proxy fetch streams.
type Settings struct {
	// Where requests may go. Required.
	To []egress.Origin `json:"to,omitempty"`

	// URLs at or below which the app may be told that a relay is over, such as `http://app.internal/`. Default: none.
	Done []string `json:"done,omitempty"`

	// The secret of at least 32 bytes that signs these calls. Required with `done`. All nodes must have the same.
	// Default: none.
	Secret string `json:"secret,omitempty"`

	// How many relays may run at once, on all nodes. Default: 1000.
	Concurrent int `json:"concurrent,omitempty"`

	// How many relays a user may have running. Default: 10.
	PerUser int `json:"per_user,omitempty"`

	// How long a relay may take. Up to 1h. Default: 10m.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// How long an upstream may send nothing, its headers included. Default: 5m.
	Silence caddy.Duration `json:"silence,omitempty"`

	// Bytes that an answer may have. Up to 64 MiB. Default: 4 MiB.
	Answer int64 `json:"answer,omitempty"`
}

// SetDefaults fills in what is not given.
func (s *Settings) SetDefaults() {
	s.Concurrent = cmp.Or(s.Concurrent, defaultConcurrent)
	s.PerUser = cmp.Or(s.PerUser, defaultPerUser)
	s.Timeout = cmp.Or(s.Timeout, caddy.Duration(defaultTimeout))
	s.Silence = cmp.Or(s.Silence, caddy.Duration(defaultSilence))
	s.Answer = cmp.Or(s.Answer, defaultAnswer)
}

// Check reports what is wrong with the settings. It makes no difference whether defaults have been filled in.
func (s *Settings) Check() error {
	if len(s.To) == 0 {
		return errors.New("to is missing: give the origins that requests may go to")
	}
	for i := range s.To {
		if err := s.To[i].Check(); err != nil {
			return fmt.Errorf("to: %w", err)
		}
	}
	for _, text := range placeholder.Settled(s.Done...) {
		if _, err := parseBase(text); err != nil {
			return fmt.Errorf("done: %w", err)
		}
	}
	if len(s.Done) > 0 && s.Secret == "" {
		return errors.New("done: needs a secret, so that the app can check where a call comes from")
	}
	if s.Secret != "" {
		if err := secret.CheckKeyText(s.Secret); err != nil {
			return fmt.Errorf("secret: %w", err)
		}
	}
	switch timeout, silence := time.Duration(s.Timeout), time.Duration(s.Silence); {
	case s.Concurrent < 0 || s.PerUser < 0:
		return errors.New("concurrent, per_user: must not be negative")
	case timeout != 0 && timeout < time.Second || timeout > maxTimeout:
		return fmt.Errorf("timeout: must be from 1s to %s; is %s", maxTimeout, timeout)
	case silence != 0 && silence < time.Second || silence > maxTimeout:
		return fmt.Errorf("silence: must be from 1s to %s; is %s", maxTimeout, silence)
	case s.Answer < 0 || s.Answer > maxAnswer:
		return fmt.Errorf("answer: must be at most %d bytes", maxAnswer)
	}
	return nil
}

// CheckBeside is Check for settings that may be nil, in a directive with an internal route, or nil.
func (s *Settings) CheckBeside(internal *guard.Internal) error {
	switch {
	case s == nil:
		return nil
	case internal == nil:
		return errors.New("has no effect without an internal route, on which apps start relays")
	}
	return s.Check()
}

// base is a URL below which others lie.
type base struct{ origin, path string }

// parseBase reads one.
func parseBase(text string) (base, error) {
	u, err := egress.ParseURL(text)
	switch {
	case err != nil:
		return base{}, fmt.Errorf("%q %w", egress.Shown(text), err)
	case u.RawQuery != "" || u.ForceQuery:
		return base{}, fmt.Errorf("%q must not have a query", text)
	case hasDots(u):
		return base{}, fmt.Errorf("%q must not have . or .. in its path", text)
	}
	return base{u.Scheme + "://" + u.Host, strings.TrimSuffix(u.EscapedPath(), "/")}, nil
}

// holds reports whether a URL is the base, or lies below it.
func (b base) holds(u *url.URL) bool {
	path := u.EscapedPath()
	return u.Scheme+"://"+u.Host == b.origin && !hasDots(u) && (path == b.path || strings.HasPrefix(path, b.path+"/"))
}

// hasDots reports whether a part of a URL's path is . or .., in any spelling. A server may read it as another path.
func hasDots(u *url.URL) bool {
	return slices.ContainsFunc(strings.FieldsFunc(u.Path, func(r rune) bool { return r == '/' || r == '\\' }), func(part string) bool {
		return part == "." || part == ".."
	})
}
