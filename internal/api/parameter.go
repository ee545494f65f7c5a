package api

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/sse-push/caddy-sse-push/internal/problem"
)

const (
	// defaultRows is how many rows an answer with a list has unless the call asks for another number.
	defaultRows = 1_000
	// MaxRows is how many rows a call may ask for.
	MaxRows = 10_000
)

// CheckCall refuses a request whose method or parameters a call does not have.
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

// limitOf returns how many rows a call asks for.
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

// asProblem returns the problem of an error in a parameter; nil for nil.
func asProblem(field string, err error) *problem.Problem {
	if err == nil {
		return nil
	}
	return problem.Field(field, "%v", err)
}
