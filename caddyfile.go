package ssepush

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/sse-push/caddy-sse-push/internal/block"
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
//	    mercure      [<path>] {
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
// presence) are given in one directive of the hub, or identically in several.
func parseDirective(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	h.Next() // the directive's name
	directive := block.PlaceOf(h.Dispenser)
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
	lines, err := block.Parse(h.Dispenser, handlerOptions(handler), handler.checkPlaceholders)
	if err != nil {
		return nil, err
	}
	for _, o := range timingOptions(handler) {
		if at, given := lines[o.Name()]; given && handler.Path == "" && len(handler.protocols) == 0 {
			return nil, at.Wrap(fmt.Errorf("%s: %w", o.Name(), errNoPath))
		}
	}
	if err := handler.check(); err != nil {
		return nil, directive.Wrap(err)
	}
	if err := handler.checkMatcher(matcher); err != nil {
		return nil, directive.Wrap(err)
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
	at      block.Place
	options map[string]block.Place
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
		return nameless.at.Wrap(fmt.Errorf("hub is missing: there is another sse_push at %s, so each must name its hub; "+
			"those of the same hub share subscribers and events", other.at))
	}
	for _, e := range earlier {
		if e.handler.Hub != d.handler.Hub {
			continue
		}
		if name := d.handler.Conflict(&e.handler.Settings); name != "" {
			return d.options[name].Wrap(fmt.Errorf("%s of hub %q differs from the one at %s: give it in one directive "+
				"of the hub, or the same in each", name, d.handler.Hub, e.options[name]))
		}
	}
	return nil
}

var errNoPath = errors.New("has no effect without a subscribe path: sse_push <path>")

// handlerOptions returns the lines that the directive's block may hold.
func handlerOptions(h *Handler) []block.Option {
	ofRoute := slices.Concat(clientOptions(h), []block.Option{
		{Usage: "cors_origins <origin...>", Min: 1, Max: block.Many, Set: func(args []string) error {
			h.CORSOrigins = args
			return guard.CheckCORS(placeholder.Settled(args...))
		}},
		block.Flag("upstream", &h.Upstream),
		block.Flag("two_way", &h.TwoWay),
		sourceOption(h),
	})
	if h.Path == "" {
		for i := range ofRoute {
			ofRoute[i].Set = func([]string) error { return errNoPath }
		}
	}
	return slices.Concat(ofRoute, timingOptions(h), []block.Option{publishHeaderOption(h), internalOption(h), inspectorOption(h), relayOption(h)},
		protocolOptions(h), hubOptions(h))
}

// clientOptions are the options that say who the route's clients are, and what they may hear.
func clientOptions(h *Handler) []block.Option {
	return []block.Option{
		userOption(&h.Users),
		block.Flag("anonymous", &h.Anonymous),
		block.Checked(block.List("topics <pattern...>", &h.Topics), identity.CheckRouteTopic),
	}
}

// timingOptions are the options that say how streams are kept alive, including the streams of protocols.
func timingOptions(h *Handler) []block.Option {
	return []block.Option{
		{Usage: "heartbeat <duration>", Min: 1, Max: 1, Set: func(args []string) error {
			if err := block.SetDuration(&h.Heartbeat)(args); err != nil {
				return err
			}
			return h.CheckHeartbeat()
		}},
		{Usage: "retry <min> [<max>]", Min: 1, Max: 2, Set: func(args []string) error {
			if err := block.SetDuration(&h.RetryMin)(args); err != nil {
				return err
			}
			if err := block.SetDuration(&h.RetryMax)(args[len(args)-1:]); err != nil {
				return err
			}
			return h.CheckRetry()
		}},
		{Usage: "write_timeout <duration>", Min: 1, Max: 1, Set: func(args []string) error {
			if err := block.SetDuration(&h.WriteTimeout)(args); err != nil {
				return err
			}
			return h.CheckWriteTimeout()
		}},
	}
}

func publishHeaderOption(h *Handler) block.Option {
	p := new(upstream.PublishHeader)
	return block.Option{Usage: "publish_header user|topic|connection|broadcast...", Min: 1, Max: block.Many, Set: func(args []string) error {
		h.PublishHeader, p.Targets = p, args
		return block.CheckEach(args, upstream.CheckTarget)
	}, Block: []block.Option{
		{Usage: "status <code|class...>", Min: 1, Max: block.Many, Set: func(args []string) error {
			p.Status = args
			return block.CheckEach(args, upstream.CheckStatus)
		}},
		block.Size("size", &p.Size),
	}, Check: p.Check}
}

func internalOption(h *Handler) block.Option {
	i := new(guard.Internal)
	return block.Option{Usage: "internal <prefix> {…}", Min: 1, Max: 1, Set: func(args []string) error {
		h.Internal, i.Prefix = i, args[0]
		return request.CheckPrefix(args[0])
	}, Block: []block.Option{
		tokenOption(&i.Tokens),
		{Usage: "allow loopback|private_ranges|<cidr...>", Min: 1, Max: block.Many, Repeats: true, Set: func(args []string) error {
			i.Allow = append(i.Allow, args...)
			_, err := request.ParsePrefixes(placeholder.Settled(args...))
			return err
		}},
		{Usage: "origins <origin...>", Min: 1, Max: block.Many, Repeats: true, Set: func(args []string) error {
			i.Origins = append(i.Origins, args...)
			return block.CheckEach(placeholder.Settled(args...), request.CheckOrigin)
		}},
	}, Check: i.Check}
}

func inspectorOption(h *Handler) block.Option {
	i := new(inspector.Settings)
	return block.Option{Usage: "inspector <path> {…}", Min: 1, Max: 1, Set: func(args []string) error {
		h.Inspector, i.Path = i, args[0]
		return request.CheckPrefix(args[0])
	}, Block: []block.Option{tokenOption(&i.Tokens)}, Check: h.checkInspector}
}

func relayOption(h *Handler) block.Option {
	return block.Option{Usage: "relay {…}", Guest: func(d *caddyfile.Dispenser) error {
		h.Relay = new(relay.Settings)
		return h.Relay.UnmarshalCaddyfile(d)
	}}
}

func tokenOption(tokens *[]string) block.Option {
	return block.Checked(block.List("token <secret...>", tokens), secret.CheckTokenText)
}
