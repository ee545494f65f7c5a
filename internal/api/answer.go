package api

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/problem"
)

// answerTimeout bounds how long a call waits for a broker that does not answer.
const answerTimeout = 5 * time.Second

// unreachable returns the problem of an error of the broker, or of the other nodes that share it; nil for nil.
func unreachable(err error) *problem.Problem {
	if err == nil {
		return nil
	}
	return problem.RetryLater(http.StatusServiceUnavailable, time.Second, "%v", err)
}

// writeJSON writes an answer.
func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // no value that comes here fails
		panic(err)
	}
	writeBody(w, status, append(body, '\n'))
}

// writeBody writes an answer that is a line of JSON already.
func writeBody(w http.ResponseWriter, status int, line []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(line)
}
