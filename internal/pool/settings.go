package pool

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/rules"
	"github.com/sse-push/caddy-sse-push/internal/secret"
)

const (
	defaultEvents  = 10_000
	defaultAge     = time.Hour
	defaultBytes   = 64 << 20
	defaultPerUser = 20
	defaultEvent   = 1 << 20
	defaultPending = 64 << 10
	defaultMemory  = 1 << 30
	defaultDrain   = 3 * time.Second

	defaultDebounce = 5 * time.Second

	maxDrain    = time.Hour
	maxDebounce = time.Hour
)

// Settings are the settings that belong to a hub rather than to a route. Each may be given in one handler of the hub, or in
// several if it is the same in all of them.
type Settings struct {
	// The hub's name: handlers that name the same hub share subscribers and events. Required if the config has more than one
	// handler. Default: `default`.
	Hub string `json:"hub,omitempty"`

	// How much of the past a hub keeps in memory, for clients that resume. Default: the defaults of its fields.
	History *History `json:"history,omitempty"`

	// How much the hub admits and keeps. Default: the defaults of its fields.
	Limits *Limits `json:"limits,omitempty"`

	// How long it may take to close the streams when Caddy exits or the hub leaves the config: they are closed one after
	// another, so that their clients do not all reconnect at once. Up to 1h. Default: 3s.
	Drain *caddy.Duration `json:"drain,omitempty"`

	// A secret of at least 32 bytes. It makes the ids of connections whose clients give themselves a name (`?client=`).
	// All nodes must have the same one. Placeholders are filled in when the config is loaded. Default: a random one,
	// until Caddy exits.
	ClientKey string `json:"client_key,omitempty"`

	// Publishes an event when a user comes or goes. Default: off.
	Presence *Presence `json:"presence,omitempty"`

	// The ordered log that the hub is built on. Default: `memory`.
	BrokerRaw json.RawMessage `json:"broker,omitempty" placeholders:"guest" caddy:"namespace=sse_push.brokers inline_key=name"`
}

// History bounds the window of past events that a hub keeps. Whichever bound is reached first trims it.
type History struct {
	// How many events. Default: 10000. 0 keeps the default; -1 keeps none.
	Events int `json:"events,omitempty"`
	// How old. Default: 1h.
	Age caddy.Duration `json:"age,omitempty"`
	// How many bytes, encoded. Default: 64 MiB.
	Bytes int64 `json:"bytes,omitempty"`
}

// Limits bound how much a hub admits and keeps.
type Limits struct {
	// Connections in all. Default: all hubs without a limit share 80 % of the process's file descriptors. -1: no limit.
	Connections int `json:"connections,omitempty"`
	// Connections per user. Default: 20. -1: no limit.
	PerUser int `json:"per_user,omitempty"`
	// Connections per client address (IPv6: per /64). Default: no limit.
	PerIP int `json:"per_ip,omitempty"`
	// Bytes of an event's data. Default: 1 MiB.
	Event int64 `json:"event,omitempty"`
	// Bytes that may wait for one connection. Beyond that, it catches up from the history instead. Default: 64 KiB.
	Pending int64 `json:"pending,omitempty"`
	// Bytes that may wait for all connections of the hub; an event that waits for several counts once. Beyond that, the
	// connections with the most waiting catch up from the history instead. Default: 1 GiB. -1: no limit.
	Memory int64 `json:"memory,omitempty"`
	// New connections per second, and as many at once. A client that comes too early is told when to come again. Addresses
	// (IPv6: networks of /64) that come at the same time get equal shares; an address that comes alone may use all. Default: no
	// limit.
	Rate int `json:"rate,omitempty"`
}

// Presence publishes an event `sse:presence` whenever a user comes or goes: `{"user": "…", "state": "join"}`, or `leave`.
type Presence struct {
	// The topic that it is published to. Clients must be granted that topic to hear it.
	Topic string `json:"topic"`
	// A user who reconnects within this time, as from one page to the next, is not reported as gone. Up to 1h. Default: 5s.
	Debounce caddy.Duration `json:"debounce,omitempty"`
}

// Check reports what is wrong with the settings.
func (s *Settings) Check() error {
	if s.Hub != "" {
		if err := rules.CheckName(s.Hub); err != nil {
			return fmt.Errorf("hub: %w", err)
		}
	}
	if s.History != nil {
		if err := s.History.check(); err != nil {
			return fmt.Errorf("history: %w", err)
		}
	}
	if s.Limits != nil {
		if err := s.Limits.check(); err != nil {
			return fmt.Errorf("limits: %w", err)
		}
	}
	if s.Drain != nil {
		if err := CheckDrain(*s.Drain); err != nil {
			return fmt.Errorf("drain: %w", err)
		}
	}
	if s.ClientKey != "" {
		if err := secret.CheckKeyText(s.ClientKey); err != nil {
			return fmt.Errorf("client_key: %w", err)
		}
	}
	if s.Presence != nil {
		if err := s.Presence.Check(); err != nil {
			return fmt.Errorf("presence: %w", err)
		}
	}
	return nil
}

// check reports what is wrong with the settings.
func (h *History) check() error {
	switch {
	case h.Events < -1:
		return fmt.Errorf("events: must not be less than -1, which keeps none; is %d", h.Events)
	case h.Age < 0:
		return fmt.Errorf("age: must not be negative; is %s", time.Duration(h.Age))
	case h.Bytes < 0:
		return fmt.Errorf("bytes: must not be negative; is %d", h.Bytes)
	}
	return nil
}

// Check reports what is wrong with the settings.
func (p *Presence) Check() error {
	if err := rules.CheckTopic(p.Topic); err != nil {
		return fmt.Errorf("topic: %w", err)
	}
	if d := time.Duration(p.Debounce); d < 0 || d > maxDebounce {
		return fmt.Errorf("debounce: must be from 0s, which is the default, to %s; is %s", maxDebounce, d)
	}
	return nil
}

// check reports what is wrong with the settings.
func (l *Limits) check() error {
	for _, n := range []struct {
		name  string
		value int
	}{{"connections", l.Connections}, {"per_user", l.PerUser}, {"per_ip", l.PerIP}, {"rate", l.Rate}} {
		if n.value < -1 {
			return fmt.Errorf("%s: must not be less than -1, which is no limit; is %d", n.name, n.value)
		}
	}
	switch {
	case l.Event < 0:
		return fmt.Errorf("event: must not be negative; is %d", l.Event)
	case l.Pending < 0:
		return fmt.Errorf("pending: must not be negative; is %d", l.Pending)
	case l.Memory < -1:
		return fmt.Errorf("memory: must not be less than -1, which is no limit; is %d", l.Memory)
	}
	return nil
}

// CheckDrain reports what is wrong with a drain.
func CheckDrain(d caddy.Duration) error {
	if t := time.Duration(d); t < 0 || t > maxDrain {
		return fmt.Errorf("must be from 0s to %s; is %s", maxDrain, t)
	}
	return nil
}

// Warnings returns what the settings ask for that the system may not be able to give.
func (s *Settings) Warnings() (warnings []string) {
	if l, most := s.Limits, descriptors(); l != nil && (l.Connections < 0 || l.Connections > most) {
		warnings = append(warnings, fmt.Sprintf("limits: connections: the process may open %d files, and each connection takes one: "+
			"when they are used up, the internal route cannot be reached either", most))
	}
	return warnings
}

// hub returns the settings with all defaults filled in.
func (s *Settings) hub() hub.Settings {
	history, limits := History{}, Limits{}
	if s.History != nil {
		history = *s.History
	}
	if s.Limits != nil {
		limits = *s.Limits
	}
	var presence hub.Presence
	if s.Presence != nil {
		presence = hub.Presence{Topic: s.Presence.Topic, Debounce: orElse(time.Duration(s.Presence.Debounce), defaultDebounce)}
	}
	return hub.Settings{
		Presence: presence,
		History: hub.History{
			Events: orElse(history.Events, defaultEvents),
			Age:    orElse(time.Duration(history.Age), defaultAge),
			Bytes:  orElse(history.Bytes, defaultBytes),
		},
		Limits: hub.Limits{
			Connections: orElse(limits.Connections, mostStreams()),
			PerUser:     orElse(limits.PerUser, defaultPerUser),
			PerIP:       max(limits.PerIP, 0),
			Pending:     orElse(limits.Pending, defaultPending),
			Memory:      orElse(limits.Memory, defaultMemory),
			Rate:        max(limits.Rate, 0),
		},
	}
}

// drain returns how long it may take to close the streams.
func (s *Settings) drain() time.Duration {
	if s.Drain == nil {
		return defaultDrain
	}
	return time.Duration(*s.Drain)
}

// maxEvent returns how many bytes the data of an event may have.
func (s *Settings) maxEvent() int64 {
	if s.Limits == nil {
		return defaultEvent
	}
	return orElse(s.Limits.Event, defaultEvent)
}

// orElse returns n, or fallback if n is 0. A negative number stands for none, and becomes 0.
func orElse[N int | int64 | time.Duration](n, fallback N) N {
	if n == 0 {
		return fallback
	}
	return max(n, 0)
}
