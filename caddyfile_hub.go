package ssepush

import (
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/rules"
	"github.com/sse-push/caddy-sse-push/internal/secret"
)

// hubOptions are those that all directives of a hub share.
func hubOptions(h *Handler) []option {
	history, limits := new(pool.History), new(pool.Limits)
	return []option{
		checked(textOption("hub <name>", &h.Hub), rules.CheckName),
		{usage: "history {…}", set: func([]string) error {
			h.History = history
			return nil
		}, block: []option{
			countOption("events", &history.Events),
			durationOption("age", &history.Age),
			sizeOption("bytes", &history.Bytes),
		}},
		{usage: "limits {…}", set: func([]string) error {
			h.Limits = limits
			return nil
		}, block: []option{
			countOption("connections", &limits.Connections),
			countOption("per_user", &limits.PerUser),
			countOption("per_ip", &limits.PerIP),
			sizeOption("event", &limits.Event),
			sizeOption("pending", &limits.Pending),
			{usage: "memory <size>|off", min: 1, max: 1, set: setSizeOrOff(&limits.Memory)},
			countOption("rate", &limits.Rate),
		}},
		{usage: "drain <duration>", min: 1, max: 1, set: func(args []string) error {
			v, err := caddy.ParseDuration(args[0])
			if err != nil {
				return fmt.Errorf("%q must be a duration, such as 3s", args[0])
			}
			d := caddy.Duration(v)
			h.Drain = &d
			return pool.CheckDrain(d)
		}},
		checked(textOption("client_key <secret>", &h.ClientKey), secret.CheckKeyText),
		{usage: "presence <topic> [<duration>]", min: 1, max: 2, set: func(args []string) error {
			h.Presence = &pool.Presence{Topic: args[0]}
			if len(args) > 1 {
				if err := setDuration(&h.Presence.Debounce)(args[1:]); err != nil {
					return err
				}
			}
			return h.Presence.Check()
		}},
		{usage: "broker <name> [<args...>]", guest: func(d *caddyfile.Dispenser) error { return parseBroker(d, h) }},
	}
}
