package api

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/problem"
)

// serveView answers a question about a hub.
func serveView(w http.ResponseWriter, r *http.Request, p *pool.Hub, call string) {
	theHub := p.Hub
	ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
	defer cancel()
	kind, name, named := strings.Cut(call, "/")
	one := named && name != ""
	allowed := []string{http.MethodGet, http.MethodHead}
	var view func(url.Values) (any, *problem.Problem)
	var params []string
	switch {
	case kind == "connections" && one:
		allowed = append(allowed, http.MethodDelete)
		view = func(url.Values) (any, *problem.Problem) { return viewConnection(theHub, name) }
	case kind == "connections" && !named:
		params = []string{"user", "topic", "limit", "after"}
		view = func(q url.Values) (any, *problem.Problem) { return viewConnections(theHub, q) }
	case kind == "users" && one:
		allowed = append(allowed, http.MethodDelete)
		view = func(url.Values) (any, *problem.Problem) {
			n, err := theHub.User(ctx, name)
			return UserCount{name, n}, unreachable(err)
		}
	case kind == "users" && !named:
		params = []string{"limit", "after"}
		view = func(q url.Values) (any, *problem.Problem) { return viewUsers(ctx, theHub, q) }
	case kind == "topics" && one:
		allowed = append(allowed, http.MethodDelete)
		view = func(url.Values) (any, *problem.Problem) {
			n, err := theHub.Topic(ctx, name)
			return TopicCount{name, n}, unreachable(err)
		}
	case kind == "topics" && !named:
		params = []string{"limit", "after"}
		view = func(q url.Values) (any, *problem.Problem) { return viewTopics(ctx, theHub, q) }
	case call == "sources":
		params = []string{"limit", "after"}
		view = func(q url.Values) (any, *problem.Problem) { return viewSources(p, q) }
	case call == "relays" && r.Method == http.MethodPost:
		noRelayStart().Write(w)
		return
	case call == "relays":
		allowed = append(allowed, http.MethodPost)
		params = []string{"user", "status", "limit", "after"}
		view = func(q url.Values) (any, *problem.Problem) { return viewRelays(ctx, p, q) }
	case kind == "relays" && one:
		allowed = append(allowed, http.MethodDelete)
		view = func(url.Values) (any, *problem.Problem) { return viewRelay(ctx, p, name) }
	case call == "position":
		view = func(url.Values) (any, *problem.Problem) { return viewPosition(ctx, theHub) }
	case call == "health":
		serveHealth(w, r, p)
		return
	default:
		problem.New(http.StatusNotFound, "there is no %s on the internal route", cmp.Or(problem.Clip(call), "/")).Write(w)
		return
	}
	if bad := CheckCall(r, allowed, params); bad != nil {
		bad.Write(w)
		return
	}
	v, bad := view(r.URL.Query())
	if bad != nil {
		bad.Write(w)
		return
	}
	writeJSON(w, http.StatusOK, v)
}

// Connection describes an open connection.
type Connection = hub.ConnectionInfo

// ConnectionList is a page of a hub's open connections.
type ConnectionList struct {
	Connections []Connection `json:"connections"`
	Total       int          `json:"total"`
	Next        string       `json:"next,omitempty"` // what to give as after, for the next page
}

// UserCount says how many connections a user has, on all nodes.
type UserCount struct {
	User        string `json:"user"`
	Connections int    `json:"connections"`
}

// UserList is a page of the users who are connected.
type UserList struct {
	Users []UserCount `json:"users"`
	Total int         `json:"total"`
	Next  string      `json:"next,omitempty"`
}

// TopicCount says how many connections have subscribed to a topic or a pattern, on all nodes.
type TopicCount struct {
	Topic       string `json:"topic"`
	Connections int    `json:"connections"`
}

// TopicList is a page of what connections have subscribed to.
type TopicList struct {
	Topics []TopicCount `json:"topics"`
	Total  int          `json:"total"`
	Next   string       `json:"next,omitempty"`
}

func viewConnections(theHub *hub.Hub, q url.Values) (any, *problem.Problem) {
	limit, p := limitOf(q)
	if p != nil {
		return nil, p
	}
	list, total, next, err := theHub.Connections(hub.Filter{User: q.Get("user"), Topic: q.Get("topic"), After: q.Get("after")}, limit)
	if err != nil {
		return nil, problem.Field("after", "%v", err)
	}
	return ConnectionList{list, total, next}, nil
}

func viewConnection(theHub *hub.Hub, id string) (any, *problem.Problem) {
	c, ok := theHub.Connection(id)
	if !ok {
		return nil, problem.NoConnection(id)
	}
	return c, nil
}

func viewUsers(ctx context.Context, theHub *hub.Hub, q url.Values) (any, *problem.Problem) {
	limit, p := limitOf(q)
	if p != nil {
		return nil, p
	}
	counts, total, next, err := theHub.Users(ctx, q.Get("after"), limit)
	if err != nil {
		return nil, unreachable(err)
	}
	list := UserList{Users: make([]UserCount, len(counts)), Total: total, Next: next}
	for i, c := range counts {
		list.Users[i] = UserCount{c.Name, c.Connections}
	}
	return list, nil
}

func viewTopics(ctx context.Context, theHub *hub.Hub, q url.Values) (any, *problem.Problem) {
	limit, p := limitOf(q)
	if p != nil {
		return nil, p
	}
	counts, total, next, err := theHub.Topics(ctx, q.Get("after"), limit)
	if err != nil {
		return nil, unreachable(err)
	}
	list := TopicList{Topics: make([]TopicCount, len(counts)), Total: total, Next: next}
	for i, c := range counts {
		list.Topics[i] = TopicCount{c.Name, c.Connections}
	}
	return list, nil
}

func viewPosition(ctx context.Context, theHub *hub.Hub) (any, *problem.Problem) {
	position, err := theHub.Position(ctx)
	if err != nil {
		return nil, problem.RetryLater(http.StatusServiceUnavailable, 0, "%v", err)
	}
	return struct {
		Position string `json:"position"`
	}{position.String()}, nil
}

// serveHealth answers whether the hub can be used, and if not, why.
func serveHealth(w http.ResponseWriter, r *http.Request, p *pool.Hub) {
	if bad := CheckCall(r, []string{http.MethodGet, http.MethodHead}, nil); bad != nil {
		bad.Write(w)
		return
	}
	health := struct {
		Status  string `json:"status"`
		Hub     string `json:"hub"`
		Reason  string `json:"reason,omitempty"`
		Lag     int64  `json:"lag"`                       // bytes
		Skipped uint64 `json:"skipped,omitempty"`         // records of the log that could not be read, or that no hub can have written
		Failing int    `json:"sources_failing,omitempty"` // sources whose last request to the app failed: the hub can be used nevertheless
	}{Status: "ready", Hub: p.Name, Lag: p.Lag(), Skipped: p.Skipped(), Failing: p.SourceStats().Failing}
	status := http.StatusOK
	if err := p.Health(); err != nil {
		health.Status, health.Reason = "unavailable", err.Error()
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, health)
}
