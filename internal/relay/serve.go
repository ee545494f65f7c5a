package relay

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/api"
	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/problem"
)

const (
	// maxCall is the longest body of a call, in bytes: a conversation may hold pictures.
	maxCall = 8 << 20
	// callTimeout bounds how long a call waits for the log.
	callTimeout = 5 * time.Second
)

// Answer answers a call to the internal route of a directive that starts a relay, and returns true. All other calls are those of
// internal/api, which finds the relays beside the hub: from now on, although the config may not be in force yet. path is what follows
// the route's prefix.
func (c *Config) Answer(w http.ResponseWriter, req *http.Request, p *pool.Hub, path string) bool {
	kind, _, one := strings.Cut(path, "/")
	if c == nil || kind != name {
		return false
	}
	r, err := of(p)
	switch {
	case err != nil:
		problem.RetryLater(http.StatusServiceUnavailable, time.Second, "%v", err).Write(w)
		return true
	case one || req.Method != http.MethodPost:
		return false
	}
	r.post(w, req, c)
	return true
}

// post starts a relay, and answers with its id.
func (r *Registry) post(w http.ResponseWriter, req *http.Request, c *Config) {
	ctx, cancel := context.WithTimeout(req.Context(), callTimeout)
	defer cancel()
	id, bad := r.startAsked(ctx, w, req, c)
	if bad != nil {
		bad.Write(w)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_ = json.NewEncoder(w).Encode(struct {
		ID string `json:"id"`
	}{id})
}

// startAsked starts the relay that a request asks for, and returns its id.
func (r *Registry) startAsked(ctx context.Context, w http.ResponseWriter, req *http.Request, c *Config) (string, *problem.Problem) {
	if p := api.CheckCall(req, []string{http.MethodPost}, nil); p != nil {
		return "", p
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxCall))
	if err != nil {
		return "", problem.OfBody(err)
	}
	q, p := c.readCall(body)
	if p != nil {
		return "", p
	}
	return q.id, r.start(ctx, c, q)
}
