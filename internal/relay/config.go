package relay

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/sse-push/caddy-sse-push/internal/egress"
)

// Config is the settings of a directive, ready for use.
type Config struct {
	settings Settings
	gate     *egress.Gate // to the upstreams
	bases    []base       // below which done lies
	app      *egress.Gate // to these

	superseded func() bool // another config is in force
}

// newConfig returns the Config of a directive's settings, whose placeholders have been filled in.
func newConfig(s *Settings) (*Config, error) {
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
	return c, nil
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
	return nil, errors.New("must be below a URL that the config gives with done")
}
