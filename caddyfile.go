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
	"github.com/sse-push/caddy-sse-push/internal/inspector"
	"github.com/sse-push/caddy-sse-push/internal/placeholder"
	"github.com/sse-push/caddy-sse-push/internal/relay"
	"github.com/sse-push/caddy-sse-push/internal/request"
	"github.com/sse-push/caddy-sse-push/internal/secret"
	"github.com/sse-push/caddy-sse-push/internal/upstream"
)

func init() {
	httpcaddyfile.RegisterDirective("sse_push", parseDirective)
	// Before all directives that answer, handle and route included.
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
//	    source {
//	        share    session|everyone
//	        cookies  <name...>
//	        query    <name...>
//	        replay   last|<number>|off
//	        linger   <duration>
//	        first_answer <duration>
//	        max      <number>
//	        per_client <number>|off
//	        max_age  <duration>
//	        event    <size>
//	    }
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
//	    relay {
//	        ...
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
// internal route. user, topics, token, allow and origins may be repeated, the others may not. Without <max>, retry is the same
// for every client.
//
// If a config has several directives, each must name its hub. The options of a hub (broker, history, limits, drain, client_key,
// presence) stand in one directive of the hub, or are the same in each that has them.
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

const stateKey = "sse_push" // in Helper.State, of the directives so far

// checkTogether reports how a directive contradicts an earlier one in the config.
func checkTogether(h httpcaddyfile.Helper, d adapted) error {
	earlier, _ := h.State[stateKey].([]adapted)
	h.State[stateKey] = append(earlier, d)
	if len(earlier) == 0 {
		return nil
	}
	nameless, other := d, earlier[0]
	if d.handler.Hub != "" {
		nameless, other = earlier[0], d // which needed no name while it was alone
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

// handlerOptions returns the lines that the directive's block may hold.
func handlerOptions(h *Handler) []option {
	ofRoute := slices.Concat(clientOptions(h), streamOptions(h), []option{
		flagOption("upstream", &h.Upstream),
		flagOption("two_way", &h.TwoWay),
		sourceOption(h),
	})
	if h.Path == "" {
		for i := range ofRoute {
			ofRoute[i].set = func([]string) error { return errors.New("has no effect without a subscribe path: sse_push <path>") }
		}
	}
	return slices.Concat(ofRoute, []option{publishHeaderOption(h), internalOption(h), inspectorOption(h), relayOption(h)}, hubOptions(h))
}

// clientOptions say who the route's clients are, and what they may hear.
func clientOptions(h *Handler) []option {
	return []option{
		userOption(&h.Users),
		flagOption("anonymous", &h.Anonymous),
		checked(listOption("topics <pattern...>", &h.Topics), identity.CheckRouteTopic),
	}
}

// streamOptions say how the route holds streams.
func streamOptions(h *Handler) []option {
	return []option{
		{usage: "heartbeat <duration>", min: 1, max: 1, set: func(args []string) error {
			if err := setDuration(&h.Heartbeat)(args); err != nil {
				return err
			}
			return h.CheckHeartbeat()
		}},
		{usage: "retry <min> [<max>]", min: 1, max: 2, set: func(args []string) error {
			if err := setDuration(&h.RetryMin)(args); err != nil {
				return err
			}
			if err := setDuration(&h.RetryMax)(args[len(args)-1:]); err != nil {
				return err
			}
			return h.CheckRetry()
		}},
		{usage: "write_timeout <duration>", min: 1, max: 1, set: func(args []string) error {
			if err := setDuration(&h.WriteTimeout)(args); err != nil {
				return err
			}
			return h.CheckWriteTimeout()
		}},
		{usage: "cors_origins <origin...>", min: 1, max: many, set: func(args []string) error {
			h.CORSOrigins = args
			return guard.CheckCORS(placeholder.Settled(args...))
		}},
	}
}

func publishHeaderOption(h *Handler) option {
	p := new(upstream.PublishHeader)
	return option{usage: "publish_header user|topic|connection|broadcast...", min: 1, max: many, set: func(args []string) error {
		h.PublishHeader, p.Targets = p, args
		return checkEach(args, upstream.CheckTarget)
	}, block: []option{
		{usage: "status <code|class...>", min: 1, max: many, set: func(args []string) error {
			p.Status = args
			return checkEach(args, upstream.CheckStatus)
		}},
		sizeOption("size", &p.Size),
	}, check: p.Check}
}

func internalOption(h *Handler) option {
	i := new(guard.Internal)
	return option{usage: "internal <prefix> {…}", min: 1, max: 1, set: func(args []string) error {
		h.Internal, i.Prefix = i, args[0]
		return request.CheckPrefix(args[0])
	}, block: []option{
		tokenOption(&i.Tokens),
		{usage: "allow loopback|private_ranges|<cidr...>", min: 1, max: many, repeats: true, set: func(args []string) error {
			i.Allow = append(i.Allow, args...)
			_, err := request.ParsePrefixes(placeholder.Settled(args...))
			return err
		}},
		{usage: "origins <origin...>", min: 1, max: many, repeats: true, set: func(args []string) error {
			i.Origins = append(i.Origins, args...)
			return checkEach(placeholder.Settled(args...), request.CheckOrigin)
		}},
	}, check: i.Check}
}

func inspectorOption(h *Handler) option {
	i := new(inspector.Settings)
	return option{usage: "inspector <path> {…}", min: 1, max: 1, set: func(args []string) error {
		h.Inspector, i.Path = i, args[0]
		return request.CheckPrefix(args[0])
	}, block: []option{tokenOption(&i.Tokens)}, check: h.checkInspector}
}

func relayOption(h *Handler) option {
	return option{usage: "relay {…}", guest: func(d *caddyfile.Dispenser) error {
		h.Relay = new(relay.Settings)
		return h.Relay.UnmarshalCaddyfile(d)
	}}
}

func tokenOption(tokens *[]string) option {
	return checked(listOption("token <secret...>", tokens), secret.CheckTokenText)
}
