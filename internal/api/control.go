package api

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/identity"
	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/request"
	"github.com/sse-push/caddy-sse-push/internal/rules"
)

const (
	// defaultDeny is how long a call denies a user unless it says otherwise.
	defaultDeny = 30 * time.Second
	maxDeny     = rules.MaxDeny
)

// control is a call that changes open streams: it ends connections, adds or removes topics, or stops a relay.
type control struct {
	what   string // disconnect, deny, join, leave, stop
	target broker.Target
	relay  string // in place of a target
	topics []string
	deny   time.Duration
}

// isControl reports whether a call changes open streams.
func (c Call) isControl(r *http.Request) bool {
	kind, _, named := strings.Cut(c.Path, "/")
	_, _, topics := c.topicsCall()
	return topics || named && r.Method == http.MethodDelete && (kind == "connections" || kind == "users" || kind == "topics" || kind == "relays")
}

// topicsCall reads the path `connections/<id>/topics[/<topic>]`, or `users/<user>/topics[/<topic>]`. It reads the path as it
// was sent, since a user's name may hold a slash, as %2F.
func (c Call) topicsCall() (target broker.Target, topic string, ok bool) {
	parts := strings.SplitN(c.Escaped, "/", 4)
	if len(parts) < 3 || parts[2] != "topics" || parts[0] != "connections" && parts[0] != "users" {
		return target, "", false
	}
	target.Kind = rules.TargetKind(strings.TrimSuffix(parts[0], "s"))
	target.Name, _ = url.PathUnescape(parts[1]) // net/url has checked the path
	if len(parts) == 4 {
		topic, _ = url.PathUnescape(parts[3])
	}
	return target, topic, true
}

// serveControl changes open streams, on all nodes, and logs it.
func serveControl(w http.ResponseWriter, r *http.Request, p *pool.Hub, asked Call) {
	c, wrong := readControl(w, r, asked)
	if wrong == nil {
		ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
		defer cancel()
		wrong = c.apply(ctx, p)
		c.audit(r, asked.Log, wrong)
	}
	if wrong != nil {
		wrong.Write(w)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// audit logs the call and its caller.
func (c control) audit(r *http.Request, log *zap.Logger, wrong *problem.Problem) {
	peer, _ := request.Peer(r)
	about := zap.String(rules.TargetName(c.target.Kind), c.target.Name)
	if c.what == "stop" {
		about = zap.String("relay", c.relay)
	}
	fields := []zap.Field{zap.String("call", c.what), zap.String("peer", peer.String()), about}
	if remote, _ := request.ClientAddress(r); remote != peer.String() {
		fields = append(fields, zap.String("remote", remote))
	}
	if c.topics != nil {
		fields = append(fields, zap.Strings("topics", c.topics))
	}
	if c.what == "deny" {
		fields = append(fields, zap.Duration("for", c.deny))
	}
	if wrong != nil {
		fields = append(fields, zap.Error(wrong))
	}
	log.Info("control", fields...)
}

// readControl reads and checks a call.
func readControl(w http.ResponseWriter, r *http.Request, asked Call) (c control, p *problem.Problem) {
	if target, topic, ok := asked.topicsCall(); ok {
		c.target = target
		switch {
		case topic == "" && r.Method == http.MethodPost:
			c.what = "join"
			c.topics, p = readTopics(w, r)
		case topic != "" && r.Method == http.MethodDelete:
			c.what, c.topics = "leave", []string{topic}
			if p = CheckCall(r, []string{http.MethodDelete}, nil); p == nil {
				p = asProblem("topic", rules.CheckPattern(topic))
			}
		case topic == "":
			p = problem.MethodNotAllowed(http.MethodPost)
		default:
			p = problem.MethodNotAllowed(http.MethodDelete)
		}
		if p == nil {
			p = checkTargetName(c.target)
		}
		return c, p
	}

	kind, name, _ := strings.Cut(asked.Path, "/")
	if kind == "relays" {
		c.what, c.relay = "stop", name
		return c, CheckCall(r, []string{http.MethodDelete}, nil)
	}
	c.what, c.target = "disconnect", broker.Target{Kind: rules.TargetKind(strings.TrimSuffix(kind, "s")), Name: name}
	var params []string
	if c.target.Kind == broker.User {
		params = []string{"deny"}
	}
	if p = CheckCall(r, []string{http.MethodDelete}, params); p != nil {
		return c, p
	}
	if deny, ok := r.URL.Query()["deny"]; ok {
		c.what = "deny"
		if c.deny, p = readDeny(deny); p != nil {
			return c, p
		}
	}
	return c, checkTargetName(c.target)
}

// checkTargetName reports what is wrong with the name of a call's target.
func checkTargetName(t broker.Target) *problem.Problem {
	switch t.Kind {
	case broker.User:
		return asProblem("user", rules.CheckName(t.Name))
	case broker.Topic:
		return asProblem("topic", rules.CheckTopic(t.Name))
	}
	if rules.CheckConnection(t.Name) != nil {
		return problem.NoConnection(t.Name)
	}
	return nil
}

// readDeny reads the parameter deny.
func readDeny(values []string) (time.Duration, *problem.Problem) {
	if len(values) > 1 {
		return 0, problem.Field("deny", "is given more than once")
	}
	if values[0] == "" {
		return defaultDeny, nil
	}
	d, err := caddy.ParseDuration(values[0])
	if err != nil || d < 0 || d > maxDeny {
		return 0, problem.Field("deny", "must be a duration from 0s, which lets the user in again, to %s, got %q", maxDeny, problem.Clip(values[0]))
	}
	return d, nil
}

// readTopics reads the topics of a call, from its query, a form or JSON, with the names that PHP gives lists.
func readTopics(w http.ResponseWriter, r *http.Request) (topics []string, p *problem.Problem) {
	params, p := request.Params(w, r)
	if p != nil {
		return nil, p
	}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if field, _, _ := strings.Cut(name, "["); field != "topic" && field != "topics" {
			return nil, problem.Field(name, "is not a parameter of this call")
		}
	}
	topics = params["topic"] // those under other names are there as well
	if len(topics) == 0 {
		return nil, problem.Field("topic", "is missing")
	}
	return topics, asProblem("topic", identity.CheckTopics(topics))
}

// apply makes the change. First it forgets what the app has said about the users concerned, so that the app is asked anew.
func (c control) apply(ctx context.Context, p *pool.Hub) *problem.Problem {
	found, err := true, error(nil)
	switch c.target.Kind {
	case broker.User:
		p.AskAnew(c.target.Name)
	case broker.Topic:
		p.AskAnew("")
	case broker.Connection:
		if one, ok := p.Connection(c.target.Name); ok && one.User != "" {
			p.AskAnew(one.User)
		}
	}
	switch c.what {
	case "join":
		found, err = p.Join(ctx, c.target, c.topics)
	case "leave":
		found, err = p.Leave(ctx, c.target, c.topics)
	case "deny":
		err = p.Deny(ctx, c.target.Name, c.deny)
	case "disconnect":
		switch c.target.Kind {
		case broker.User:
			err = p.DisconnectUser(ctx, c.target.Name)
		case broker.Topic:
			err = p.DisconnectTopic(ctx, c.target.Name)
		default:
			found, err = p.Disconnect(ctx, c.target.Name)
		}
	case "stop":
		if found, err = p.Relays().Stop(ctx, c.relay); err == nil && !found {
			return noRelay(c.relay)
		}
	default:
		panic(fmt.Sprintf("control %q", c.what)) // readControl returns no other
	}
	if err == nil && !found {
		return problem.NoConnection(c.target.Name)
	}
	return unreachable(err)
}
