package relay

import (
	"math"
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	humanize "github.com/dustin/go-humanize"

	"github.com/sse-push/caddy-sse-push/internal/egress"
)

// UnmarshalCaddyfile sets up relays from Caddyfile tokens, of which the first has been read. Syntax:
//
//	relay {
//	    to         <origin> [private] {
//	        header <name> <value>
//	    }
//	    done       <url...>
//	    secret     <secret>
//	    concurrent <number>
//	    per_user   <number>
//	    timeout    <duration>
//	    silence    <duration>
//	    answer     <size>
//	}
//
// to, header and done may be repeated, the others may not.
func (s *Settings) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.Errf("relay: %q is one argument too many; write: relay {…}", d.Val())
	}
	seen := map[string]bool{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name := d.Val()
		if seen[name] && name != "to" && name != "done" {
			return d.Errf("relay: %s is given twice", name)
		}
		seen[name] = true
		if err := s.option(d, name); err != nil {
			return err
		}
	}
	if err := s.Check(); err != nil {
		return d.Errf("relay: %w", err)
	}
	return nil
}

// option reads the line of an option.
func (s *Settings) option(d *caddyfile.Dispenser, name string) error {
	switch name {
	case "to":
		return s.origin(d)
	case "done":
		urls := d.RemainingArgs()
		if len(urls) == 0 {
			return d.Err("relay: done: missing argument; write: done <url...>")
		}
		s.Done = append(s.Done, urls...)
		return nil
	}
	var value string
	if !d.AllArgs(&value) {
		return d.Errf("relay: %s takes one argument", name)
	}
	bad := func(what string) error { return d.Errf("relay: %s: %q must be %s", name, value, what) }
	switch name {
	case "secret":
		s.Secret = value
	case "concurrent", "per_user":
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 {
			return bad("a number of at least 1")
		}
		*map[string]*int{"concurrent": &s.Concurrent, "per_user": &s.PerUser}[name] = n
	case "timeout", "silence":
		t, err := caddy.ParseDuration(value)
		if err != nil || t <= 0 {
			return bad("a duration of more than 0, such as 5m")
		}
		*map[string]*caddy.Duration{"timeout": &s.Timeout, "silence": &s.Silence}[name] = caddy.Duration(t)
	case "answer":
		n, err := humanize.ParseBytes(value)
		if err != nil || n < 1 || n > math.MaxInt64 {
			return bad("a size, such as 4MiB")
		}
		s.Answer = int64(n)
	default:
		return d.Errf("relay: %q is not an option here; the options are to, done, secret, concurrent, per_user, timeout, silence, answer", name)
	}
	return nil
}

// origin reads a place that requests may go to.
func (s *Settings) origin(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) == 0 || len(args) > 2 || len(args) == 2 && args[1] != "private" {
		return d.Err("relay: to: write: to <origin> [private]")
	}
	s.To = append(s.To, egress.Origin{URL: args[0], Private: len(args) == 2})
	o := &s.To[len(s.To)-1]
	if err := o.Check(); err != nil {
		return d.Errf("relay: to: %w", err)
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		option := d.Val()
		h := egress.Header{}
		if option != "header" {
			return d.Errf("relay: to: %q is not an option here; the option is header", option)
		}
		if !d.AllArgs(&h.Name, &h.Value) {
			return d.Err("relay: to: header: write: header <name> <value>")
		}
		o.Headers = append(o.Headers, h)
		if err := o.Check(); err != nil {
			return d.Errf("relay: to: %w", err)
		}
	}
	return nil
}

// Interface guards.
var _ caddyfile.Unmarshaler = (*Settings)(nil)
