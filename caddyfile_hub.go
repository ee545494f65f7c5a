package ssepush

import (
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sse-push/caddy-sse-push/internal/block"
	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/rules"
	"github.com/sse-push/caddy-sse-push/internal/secret"
)

// hubOptions are the options that all directives of a hub share.
func hubOptions(h *Handler) []block.Option {
	history, limits := new(pool.History), new(pool.Limits)
	return []block.Option{
		block.Checked(block.Text("hub <name>", &h.Hub), rules.CheckName),
		{Usage: "history {…}", Set: func([]string) error {
			h.History = history
			return nil
		}, Block: []block.Option{
			block.Count("events", &history.Events),
			block.Duration("age", &history.Age),
			block.Size("bytes", &history.Bytes),
		}},
		{Usage: "limits {…}", Set: func([]string) error {
			h.Limits = limits
			return nil
		}, Block: []block.Option{
			block.Count("connections", &limits.Connections),
			block.Count("per_user", &limits.PerUser),
			block.Count("per_ip", &limits.PerIP),
			block.Size("event", &limits.Event),
			block.Size("pending", &limits.Pending),
			block.SizeOrOff("memory", &limits.Memory),
			block.Count("rate", &limits.Rate),
		}},
		{Usage: "drain <duration>", Min: 1, Max: 1, Set: func(args []string) error {
			v, err := caddy.ParseDuration(args[0])
			if err != nil {
				return fmt.Errorf("%q must be a duration, such as 3s", args[0])
			}
			d := caddy.Duration(v)
			h.Drain = &d
			return pool.CheckDrain(d)
		}},
		block.Checked(block.Text("client_key <secret>", &h.ClientKey), secret.CheckKeyText),
		{Usage: "presence <topic> [<duration>]", Min: 1, Max: 2, Set: func(args []string) error {
			h.Presence = &pool.Presence{Topic: args[0]}
			if len(args) > 1 {
				if err := block.SetDuration(&h.Presence.Debounce)(args[1:]); err != nil {
					return err
				}
			}
			return h.Presence.Check()
		}},
		{Usage: "broker <name> [<args...>]", Guest: func(d *caddyfile.Dispenser) error { return parseBroker(d, h) }},
	}
}
