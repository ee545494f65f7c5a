// Package api answers what apps, operators and commands ask of a hub and have it do. A call comes through one of three doors,
// which are not its business: the internal route, Caddy's admin endpoint, or the inspector.
package api

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/problem"
)

const (
	// AnswerTimeout bounds how long a call waits for a broker that does not answer.
	AnswerTimeout = 5 * time.Second

	defaultRows = 1_000
	// MaxRows is how many rows a list may have.
	MaxRows = 10_000
)

// CheckCall refuses methods and parameters that a call does not have.
func CheckCall(r *http.Request, methods, params []string) *problem.Problem {
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

// LimitOf returns how many rows a call asks for.
func LimitOf(q url.Values) (int, *problem.Problem) {
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

// Unreachable returns a problem for an error of the broker, or of the other nodes that share it; nil for nil.
func Unreachable(err error) *problem.Problem {
	if err == nil {
		return nil
	}
	return problem.RetryLater(http.StatusServiceUnavailable, time.Second, "%v", err)
}

// AsProblem returns a problem for an error in a parameter; nil for nil.
func AsProblem(field string, err error) *problem.Problem {
	if err == nil {
		return nil
	}
	return problem.Field(field, "%v", err)
}

// WriteJSON writes an answer.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // no value that comes here fails
		panic(err)
	}
	WriteBody(w, status, string(body))
}

// WriteBody writes an answer that is JSON already.
func WriteBody(w http.ResponseWriter, status int, json string) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(json + "\n"))
}
