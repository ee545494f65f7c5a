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
	writeBody(w, status, string(body))
}

// writeBody writes an answer that is JSON already.
func writeBody(w http.ResponseWriter, status int, json string) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(json + "\n"))
}
