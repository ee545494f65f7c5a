package ssepush

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/sse-push/caddy-sse-push/internal/guard"
	"github.com/sse-push/caddy-sse-push/internal/identity"
	"github.com/sse-push/caddy-sse-push/internal/placeholder"
	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/request"
	"github.com/sse-push/caddy-sse-push/internal/rules"
	"github.com/sse-push/caddy-sse-push/internal/secret"
)

func init() {
	httpcaddyfile.RegisterDirective("sse_push", parseDirective)
	// In front of whatever answers, handle and route included.
	httpcaddyfile.RegisterDirectiveOrder("sse_push", httpcaddyfile.After, "encode")
}

// parseDirective sets up a handler from Caddyfile tokens. Syntax:
//
//	sse_push [<matcher>] [<path>] {
//	    hub          <name>
//	    user         ticket <secret...> {
//	        from     header|query|cookie <name>
//	        max_age  <duration>
//	    }
//	    user         jwt {
//	        key      <public key or certificate...>
//	        key_file <path...>
//	        secret   <secret...>
//	        jwks     <url>
//	        refresh  <duration>
//	        algorithms   <name...>
//	        issuer   <name...>
//	        audience <name...>
//	        user_claim   <name>
//	        topics_claim <name>
//	        from     header|query|cookie <name>
//	        leeway   <duration>
//	        allow_no_expiry
//	    }
//	    user         authorize <path or URL> {
//	        cookies  <name...>
//	        headers  <name...>
//	        ttl      <duration>
//	        timeout  <duration>
//	        expires  <duration>
//	        concurrency <number>
//	    }
//	    user         header <name> [from <cidr...>]
//	    user         query <name>
//	    user         cookie <name>
//	    user         <placeholder>
//	    anonymous
//	    upstream
//	    two_way
//	    publish_header user|topic|connection|broadcast... {
//	        status   <status...>
//	        size     <size>
//	    }
//	    topics       <pattern...>
//	    internal     <prefix> {
//	        token    <secret...>
//	        allow    loopback|private_ranges|<cidr...>
//	        origins  <origin...>
//	    }
//	    inspector    <path> {
//	        token    <secret...>
//	    }
//	    history {
//	        events   <number>|off
//	        age      <duration>
//	        bytes    <size>
//	    }
//	    heartbeat    <duration>
//	    retry        <min> [<max>]
//	    write_timeout <duration>
//	    limits {
//	        connections <number>|off
//	        per_user    <number>|off
//	        per_ip      <number>|off
//	        event       <size>
//	        pending     <size>
//	        memory      <size>|off
//	        rate        <number>|off
//	    }
//	    drain        <duration>
//	    client_key   <secret>
//	    presence     <topic> [<duration>]
//	    cors_origins <origin...>|*
//	    broker       <name> [<args...>] {
//	        ...
//	    }
//	}
//
// As with root, a lone path is the subscribe path and not a matcher: a matcher would keep requests from the
// internal route. user, topics, token, allow and origins may stand more than once, all else once. A retry
// without <max> is the same for every client.
//
// As soon as a config has two directives, each names its hub. What belongs to a hub (broker, history,
// limits, drain, client_key, presence) stands in one directive of the hub, or is the same in all that have it.
func parseDirective(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	h.Next() // the directive's name
	directive := placeOf(h.Dispenser)
	handler := new(Handler)

	matcher, err := parseMatcher(h)
	if err != nil {
		return nil, err
	}
	if h.NextArg() {
		handler.Path = h.Val()
		if err := request.CheckPath(handler.Path); err != nil {
			return nil, h.Errf("subscribe path: %w", err)
		}
	}
	lines, err := parseBlock(h.Dispenser, handlerOptions(handler), handler.checkPlaceholders)
	if err != nil {
		return nil, err
	}
	if err := handler.check(); err != nil {
		return nil, directive.wrap(err)
	}
	if err := handler.checkMatcher(matcher); err != nil {
		return nil, directive.wrap(err)
	}
	if err := checkTogether(h, adapted{handler, directive, lines}); err != nil {
		return nil, err
	}
	return h.NewRoute(matcher, handler), nil
}

// parseMatcher takes the matcher out of the directive's line: the first of two arguments, or a lone one that
// cannot be a path.
func parseMatcher(h httpcaddyfile.Helper) (caddy.ModuleMap, error) {
	args := h.RemainingArgs()
	if len(args) > 2 {
		return nil, h.Errf("too many arguments; write: sse_push [<matcher>] [<path>]")
	}
	for range args {
		h.Prev()
	}
	isMatcher := len(args) > 0 && (args[0] == "*" || strings.HasPrefix(args[0], "@"))
	if len(args) == 2 && !isMatcher && !strings.HasPrefix(args[0], "/") {
		return nil, h.Errf("%q is not a matcher; write: sse_push [<matcher>] [<path>]", args[0])
	}
	if len(args) < 2 && !isMatcher {
		return nil, nil
	}
	matcher, err := h.ExtractMatcherSet()
	if err != nil {
		return nil, h.WrapErr(err)
	}
	h.Next() // the directive's name again: the extraction rewinds
	return matcher, nil
}

// adapted is a directive that has been parsed.
type adapted struct {
	handler *Handler
	at      place
	options map[string]place
}

const stateKey = "sse_push" // of the directives so far, in Helper.State

// checkTogether holds a directive against those before it in the config.
func checkTogether(h httpcaddyfile.Helper, d adapted) error {
	earlier, _ := h.State[stateKey].([]adapted)
	h.State[stateKey] = append(earlier, d)
	if len(earlier) == 0 {
		return nil
	}
	nameless, other := d, earlier[0]
	if d.handler.Hub != "" {
		nameless, other = earlier[0], d // alone, it did not have to be named
	}
	if nameless.handler.Hub == "" {
		return nameless.at.wrap(fmt.Errorf("hub is missing: there is another sse_push at %s, and each must say by name "+
			"which hub it belongs to, as those of one hub share subscribers and events", other.at))
	}
	for _, e := range earlier {
		if e.handler.Hub != d.handler.Hub {
			continue
		}
		if name := d.handler.Conflict(&e.handler.Settings); name != "" {
			return d.options[name].wrap(fmt.Errorf("%s of hub %q differs from the one at %s: give it in one directive "+
				"of the hub, or the same in each", name, d.handler.Hub, e.options[name]))
		}
	}
	return nil
}

func handlerOptions(h *Handler) []option {
	internal, history, limits, fromHeader, inspector := new(guard.Internal), new(pool.History), new(pool.Limits), new(PublishHeader), new(Inspector)
	options := []option{
		{usage: "hub <name>", min: 1, max: 1, set: func(args []string) error {
			h.Hub = args[0]
			return rules.CheckName(h.Hub)
		}},
		{usage: "user ticket|jwt|authorize|header|query|cookie …, or user <placeholder>", min: 1, max: many, repeats: true, subscribe: true,
			set: func(args []string) error {
				source, err := parseUser(args)
				h.Users = append(h.Users, source)
				return err
			},
			late:  func() []option { return userOptions(&h.Users[len(h.Users)-1]) },
			check: func() error { return h.Users[len(h.Users)-1].Check() }},
		{usage: "anonymous", subscribe: true, set: func([]string) error {
			h.Anonymous = true
			return nil
		}},
		{usage: "topics <pattern...>", min: 1, max: many, repeats: true, subscribe: true, set: func(args []string) error {
			h.Topics = append(h.Topics, args...)
			return checkEach(args, identity.CheckRouteTopic)
		}},
		{usage: "upstream", subscribe: true, set: func([]string) error {
			h.Upstream = true
			return nil
		}},
		{usage: "two_way", subscribe: true, set: func([]string) error {
			h.TwoWay = true
			return nil
		}},
		{usage: "publish_header user|topic|connection|broadcast...", min: 1, max: many, set: func(args []string) error {
			h.PublishHeader, fromHeader.Targets = fromHeader, args
			return checkEach(args, checkTarget)
		}, block: []option{
			{usage: "status <code|class...>", min: 1, max: many, set: func(args []string) error {
				fromHeader.Status = args
				return checkEach(args, checkStatus)
			}},
			{usage: "size <size>", min: 1, max: 1, set: setSize(&fromHeader.Size)},
		}, check: fromHeader.Check},
		{usage: "internal <prefix> {…}", min: 1, max: 1, set: func(args []string) error {
			h.Internal, internal.Prefix = internal, args[0]
			return request.CheckPrefix(args[0])
		}, block: internalOptions(internal), check: internal.Check},
		{usage: "inspector <path> {…}", min: 1, max: 1, set: func(args []string) error {
			h.Inspector, inspector.Path = inspector, args[0]
			return request.CheckPrefix(args[0])
		}, block: []option{
			{usage: "token <secret...>", min: 1, max: many, repeats: true, set: func(args []string) error {
				inspector.Tokens = append(inspector.Tokens, args...)
				return checkEach(args, secret.CheckTokenText)
			}},
		}, check: func() error { return h.checkInspector() }},
		{usage: "history {…}", set: func([]string) error {
			h.History = history
			return nil
		}, block: []option{
			{usage: "events <number>|off", min: 1, max: 1, set: setCount(&history.Events)},
			{usage: "age <duration>", min: 1, max: 1, set: setDuration(&history.Age)},
			{usage: "bytes <size>", min: 1, max: 1, set: setSize(&history.Bytes)},
		}},
		{usage: "heartbeat <duration>", min: 1, max: 1, subscribe: true, set: func(args []string) error {
			if err := setDuration(&h.Heartbeat)(args); err != nil {
				return err
			}
			return h.CheckHeartbeat()
		}},
		{usage: "retry <min> [<max>]", min: 1, max: 2, subscribe: true, set: func(args []string) error {
			if err := setDuration(&h.RetryMin)(args); err != nil {
				return err
			}
			if err := setDuration(&h.RetryMax)(args[len(args)-1:]); err != nil {
				return err
			}
			return h.CheckRetry()
		}},
		{usage: "limits {…}", set: func([]string) error {
			h.Limits = limits
			return nil
		}, block: []option{
			{usage: "connections <number>|off", min: 1, max: 1, set: setCount(&limits.Connections)},
			{usage: "per_user <number>|off", min: 1, max: 1, set: setCount(&limits.PerUser)},
			{usage: "per_ip <number>|off", min: 1, max: 1, set: setCount(&limits.PerIP)},
			{usage: "event <size>", min: 1, max: 1, set: setSize(&limits.Event)},
			{usage: "pending <size>", min: 1, max: 1, set: setSize(&limits.Pending)},
			{usage: "memory <size>|off", min: 1, max: 1, set: setSizeOrOff(&limits.Memory)},
			{usage: "rate <number>|off", min: 1, max: 1, set: setCount(&limits.Rate)},
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
		{usage: "client_key <secret>", min: 1, max: 1, set: func(args []string) error {
			h.ClientKey = args[0]
			return secret.CheckKeyText(args[0])
		}},
		{usage: "presence <topic> [<duration>]", min: 1, max: 2, set: func(args []string) error {
			h.Presence = &pool.Presence{Topic: args[0]}
			if len(args) > 1 {
				if err := setDuration(&h.Presence.Debounce)(args[1:]); err != nil {
					return err
				}
			}
			return h.Presence.Check()
		}},
		{usage: "write_timeout <duration>", min: 1, max: 1, subscribe: true, set: func(args []string) error {
			if err := setDuration(&h.WriteTimeout)(args); err != nil {
				return err
			}
			return h.CheckWriteTimeout()
		}},
		{usage: "cors_origins <origin...>", min: 1, max: many, subscribe: true, set: func(args []string) error {
			h.CORSOrigins = args
			return guard.CheckCORS(placeholder.Settled(args...))
		}},
		{usage: "broker <name> [<args...>]", guest: func(d *caddyfile.Dispenser) error { return parseBroker(d, h) }},
	}
	if h.Path == "" {
		for i := range options {
			if options[i].subscribe {
				options[i].set = func([]string) error { return errors.New("has no effect without a subscribe path: sse_push <path>") }
			}
		}
	}
	return options
}

func internalOptions(i *guard.Internal) []option {
	return []option{
		{usage: "token <secret...>", min: 1, max: many, repeats: true, set: func(args []string) error {
			i.Tokens = append(i.Tokens, args...)
			return checkEach(args, secret.CheckTokenText)
		}},
		{usage: "allow loopback|private_ranges|<cidr...>", min: 1, max: many, repeats: true, set: func(args []string) error {
			i.Allow = append(i.Allow, args...)
			_, err := request.ParsePrefixes(placeholder.Settled(args...))
			return err
		}},
		{usage: "origins <origin...>", min: 1, max: many, repeats: true, set: func(args []string) error {
			i.Origins = append(i.Origins, args...)
			return checkEach(placeholder.Settled(args...), request.CheckOrigin)
		}},
	}
}

// parseUser reads what stands behind `user`.
func parseUser(args []string) (identity.UserSource, error) {
	s := identity.UserSource{Source: args[0]}
	switch {
	case strings.Contains(args[0], "{"):
		s.Source, s.Name = "placeholder", args[0]
		if len(args) > 1 {
			return s, fmt.Errorf("%q: a placeholder takes no further word", args[1])
		}
		return s, s.Check()
	case args[0] == "placeholder" || !slices.Contains(identity.Kinds, args[0]):
		return s, fmt.Errorf("%q is not known; known are ticket, jwt, authorize, header, query, cookie, and a placeholder such as {http.auth.user.id}", args[0])
	case isProof(args[0]):
		return s, parseProof(&s, args[1:])
	case len(args) == 1:
		return s, fmt.Errorf("missing argument; write: user %s <name>", args[0])
	}
	s.Name = args[1]
	if more := args[2:]; len(more) > 0 {
		switch {
		case s.Source != "header":
			return s, fmt.Errorf("%q: too many arguments; write: user %s <name>", more[0], s.Source)
		case more[0] != "from" || len(more) == 1:
			return s, fmt.Errorf("%q: write: user header <name> from <cidr...>", more[0])
		}
		s.From = more[1:]
	}
	return s, s.Check()
}
