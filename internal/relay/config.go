package relay

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/sse-push/caddy-sse-push/internal/egress"
	"github.com/sse-push/caddy-sse-push/internal/pool"
)

// Config is the settings of a directive, ready for use.
type Config struct {
	settings Settings
	gate     *egress.Gate // to the upstreams
	bases    []base       // below which done lies
	app      *egress.Gate // to these
}

// New returns the Config of a directive, which is put in force with the others of its hub. Placeholders have been filled in. It is
// nil if the directive has no relays.
func New(s *Settings, ref *pool.Ref) (*Config, error) {
	if s == nil {
		return nil, nil
	}
	c := &Config{settings: *s}
	c.settings.SetDefaults()
	if err := c.settings.Check(); err != nil {
		return nil, err
	}
	var err error
	if c.gate, err = egress.NewGate(s.To); err != nil {
		return nil, fmt.Errorf("to: %w", err)
	}
	var origins []egress.Origin
	seen := map[string]bool{}
	for _, text := range s.Done {
		b, err := parseBase(text)
		if err != nil {
			return nil, fmt.Errorf("done: %w", err)
		}
		if c.bases = append(c.bases, b); !seen[b.origin] {
			seen[b.origin] = true
			origins = append(origins, egress.Origin{URL: b.origin, Private: true}) // the app is near
		}
	}
	if c.app, err = egress.NewGate(origins); err != nil {
		return nil, fmt.Errorf("done: %w", err)
	}
	return c, ref.Beside(name, c.settings, func(p *pool.Hub) error {
		r, err := of(p)
		if err == nil {
			r.offered.Store(c)
		}
		return err
	})
}

// Close closes connections that are not in use. Requests under way go on.
func (c *Config) Close() {
	c.gate.Close()
	c.app.Close()
}

// checkDone reads a URL at which the app is to be told of the end.
func (c *Config) checkDone(text string) (*url.URL, error) {
	u, err := egress.ParseURL(text)
	if err != nil {
		return nil, err
	}
	for _, b := range c.bases {
		if b.holds(u) {
			return u, nil
		}
	}
	return nil, errors.New("must lie below a URL of done in the config")
}
