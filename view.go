package ssepush

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/problem"
)

const (
	defaultRows = 1_000
	maxRows     = 10_000
)

// serveView answers what an app asks about a hub: call is the path below the internal prefix.
func serveView(w http.ResponseWriter, r *http.Request, theHub *hub.Hub, call string) {
	ctx, cancel := context.WithTimeout(r.Context(), admitTimeout)
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
			return userCount{name, n}, unreachable(err)
		}
	case kind == "users" && !named:
		params = []string{"limit", "after"}
		view = func(q url.Values) (any, *problem.Problem) { return viewUsers(ctx, theHub, q) }
	case kind == "topics" && one:
		allowed = append(allowed, http.MethodDelete)
		view = func(url.Values) (any, *problem.Problem) {
			n, err := theHub.Topic(ctx, name)
			return topicCount{name, n}, unreachable(err)
		}
	case kind == "topics" && !named:
		params = []string{"limit", "after"}
		view = func(q url.Values) (any, *problem.Problem) { return viewTopics(ctx, theHub, q) }
	case call == "position":
		view = func(url.Values) (any, *problem.Problem) { return viewPosition(ctx, theHub) }
	case call == "health":
		serveHealth(w, r, theHub)
		return
	default:
		problem.New(http.StatusNotFound, "there is no %s on the internal route", problem.Clip(call)).Write(w)
		return
	}
	if p := checkCall(r, allowed, params); p != nil {
		p.Write(w)
		return
	}
	v, p := view(r.URL.Query())
	if p != nil {
		p.Write(w)
		return
	}
	writeJSON(w, http.StatusOK, v)
}

// unreachable says that the broker, or the other nodes behind it, cannot be asked.
func unreachable(err error) *problem.Problem {
	if err == nil {
		return nil
	}
	return problem.RetryLater(http.StatusServiceUnavailable, time.Second, "%v", err)
}

// checkCall refuses methods and parameters that a call does not have.
func checkCall(r *http.Request, methods, params []string) *problem.Problem {
	if !slices.Contains(methods, r.Method) {
		return problem.MethodNotAllowed(methods...)
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return problem.New(http.StatusBadRequest, "the query cannot be read: %v", err)
	}
	for name := range query {
		if !slices.Contains(params, name) {
			return problem.Field(name, "is not a parameter of this call")
		}
	}
	return nil
}

type connectionList struct {
	Connections []hub.ConnectionInfo `json:"connections"`
	Total       int                  `json:"total"`
	Next        string               `json:"next,omitempty"` // to be given as after, for what follows
}

type userCount struct {
	User        string `json:"user"`
	Connections int    `json:"connections"`
}

type userList struct {
	Users []userCount `json:"users"`
	Total int         `json:"total"`
	Next  string      `json:"next,omitempty"`
}

type topicCount struct {
	Topic       string `json:"topic"`
	Connections int    `json:"connections"`
}

type topicList struct {
	Topics []topicCount `json:"topics"`
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
	return connectionList{list, total, next}, nil
}

func viewConnection(theHub *hub.Hub, id string) (any, *problem.Problem) {
	c, ok := theHub.Connection(id)
	if !ok {
		return nil, noConnection(id)
	}
	return c, nil
}

func noConnection(id string) *problem.Problem {
	return problem.New(http.StatusNotFound, "there is no connection %s", problem.Clip(id))
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
	list := userList{Users: make([]userCount, len(counts)), Total: total, Next: next}
	for i, c := range counts {
		list.Users[i] = userCount{c.Name, c.Connections}
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
	list := topicList{Topics: make([]topicCount, len(counts)), Total: total, Next: next}
	for i, c := range counts {
		list.Topics[i] = topicCount{c.Name, c.Connections}
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

// serveHealth says whether the hub can be used, and if not, why.
func serveHealth(w http.ResponseWriter, r *http.Request, theHub *hub.Hub) {
	if p := checkCall(r, []string{http.MethodGet, http.MethodHead}, nil); p != nil {
		p.Write(w)
		return
	}
	health := struct {
		Status  string `json:"status"`
		Hub     string `json:"hub"`
		Reason  string `json:"reason,omitempty"`
		Lag     int64  `json:"lag"`               // bytes
		Skipped uint64 `json:"skipped,omitempty"` // records of the log that could not be read or believed
	}{Status: "ready", Hub: theHub.Name, Lag: theHub.Lag(), Skipped: theHub.Skipped()}
	status := http.StatusOK
	if err := theHub.Health(); err != nil {
		health.Status, health.Reason = "unavailable", err.Error()
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, health)
}

// limitOf is how many rows a list may have.
func limitOf(q url.Values) (int, *problem.Problem) {
	text := q.Get("limit")
	if text == "" {
		return defaultRows, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxRows {
		return 0, problem.Field("limit", "must be a whole number from 1 to %d", maxRows)
	}
	return n, nil
}
