package ssepush

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/problem"
)

// Call is a call to a hub. Its caller has been checked: by the guard of the internal route, by the inspector's session, or
// by Caddy's admin endpoint.
type Call struct {
	Path    string // below the prefix of its route, such as users/u1
	Escaped string // the same as it was sent: a name may hold a slash
	Log     *zap.Logger
}

// Serve answers a call to a hub, whichever door it came through: the internal route, the admin endpoint or the inspector.
func Serve(w http.ResponseWriter, r *http.Request, p *pooledHub, c Call) {
	switch {
	case c.Path == "publish":
		servePublish(w, r, p.Hub, p.maxEvent.Load())
	case c.steers(r):
		serveControl(w, r, p, c)
	default:
		serveView(w, r, p.Hub, c.Path)
	}
}

const (
	defaultRows = 1_000
	// MaxRows is how many rows a list may have.
	MaxRows = 10_000
)

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

// limitOf is how many rows a list may have.
func limitOf(q url.Values) (int, *problem.Problem) {
	text := q.Get("limit")
	if text == "" {
		return defaultRows, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > MaxRows {
		return 0, problem.Field("limit", "must be a whole number from 1 to %d", MaxRows)
	}
	return n, nil
}

// unreachable says that the broker, or the other nodes behind it, cannot be asked.
func unreachable(err error) *problem.Problem {
	if err == nil {
		return nil
	}
	return problem.RetryLater(http.StatusServiceUnavailable, time.Second, "%v", err)
}

func noConnection(id string) *problem.Problem {
	return problem.New(http.StatusNotFound, "there is no connection %s", problem.Clip(id))
}

func asProblem(field string, err error) *problem.Problem {
	if err == nil {
		return nil
	}
	return problem.Field(field, "%v", err)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // no value that comes here fails
		panic(err)
	}
	writeBody(w, status, string(body))
}

func writeBody(w http.ResponseWriter, status int, json string) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(json + "\n"))
}
