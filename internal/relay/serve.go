package relay

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/api"
	"github.com/sse-push/caddy-sse-push/internal/pool"
	"github.com/sse-push/caddy-sse-push/internal/problem"
)

const (
	// maxCall is the longest body of a call, in bytes: a conversation may hold pictures.
	maxCall = 8 << 20
	// callTimeout bounds how long a call waits for the log.
	callTimeout = 5 * time.Second
	// maxRows is how many relays a list has.
	maxRows = 1000
)

// Info describes a relay.
type Info struct {
	ID         string            `json:"id"`
	User       string            `json:"user,omitempty"`
	Topic      string            `json:"topic,omitempty"`
	Status     Status            `json:"status"`
	Since      time.Time         `json:"since"`
	Ended      *time.Time        `json:"ended,omitempty"`
	Events     uint64            `json:"events"`
	Bytes      uint64            `json:"bytes"`
	HTTPStatus int               `json:"http_status,omitempty"`
	Headers    map[string]string `json:"headers,omitempty"`
	Error      string            `json:"error,omitempty"`
	Body       string            `json:"body,omitempty"`
	Done       string            `json:"done,omitempty"` // pending or taken; "" if nobody is told
}

// List has relays, the newest first.
type List struct {
	Relays []Info `json:"relays"`
	Total  int    `json:"total"`
}

// Answer answers a call to the internal route of a directive, which may have no relays, and returns true. It returns false for a call
// that is not about relays. path is what follows the route's prefix.
func (c *Config) Answer(w http.ResponseWriter, req *http.Request, p *pool.Hub, path string) bool {
	kind, id, one := strings.Cut(path, "/")
	if c == nil || kind != name {
		return false
	}
	r, err := of(p)
	if err != nil {
		problem.RetryLater(http.StatusServiceUnavailable, time.Second, "%v", err).Write(w)
		return true
	}
	r.answer(w, req, c, id, one)
	return true
}

// answer answers a call about all relays, or about one.
func (r *Registry) answer(w http.ResponseWriter, req *http.Request, c *Config, id string, one bool) {
	ctx, cancel := context.WithTimeout(req.Context(), callTimeout)
	defer cancel()
	var answer any
	var bad *problem.Problem
	status := http.StatusOK
	switch {
	case !one && req.Method == http.MethodPost:
		status = http.StatusAccepted
		answer, bad = r.post(ctx, w, req, c)
	case one && req.Method == http.MethodDelete:
		status = http.StatusNoContent
		bad = r.del(ctx, req, id)
	case !one:
		if bad = api.CheckCall(req, []string{http.MethodGet, http.MethodHead, http.MethodPost}, nil); bad == nil {
			answer, bad = r.list(ctx)
		}
	default:
		if bad = api.CheckCall(req, []string{http.MethodGet, http.MethodHead, http.MethodDelete}, nil); bad == nil {
			answer, bad = r.info(ctx, id)
		}
	}
	if bad != nil {
		bad.Write(w)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	if answer == nil {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}

// post starts a relay.
func (r *Registry) post(ctx context.Context, w http.ResponseWriter, req *http.Request, c *Config) (any, *problem.Problem) {
	if p := api.CheckCall(req, []string{http.MethodPost}, nil); p != nil {
		return nil, p
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxCall))
	if err != nil {
		return nil, problem.OfBody(err)
	}
	q, p := c.readCall(body)
	if p != nil {
		return nil, p
	}
	if p := r.start(ctx, c, q); p != nil {
		return nil, p
	}
	return struct {
		ID string `json:"id"`
	}{q.id}, nil
}

// del stops a relay.
func (r *Registry) del(ctx context.Context, req *http.Request, id string) *problem.Problem {
	if p := api.CheckCall(req, []string{http.MethodDelete}, nil); p != nil {
		return p
	}
	found, err := r.cancelRelay(ctx, id)
	switch {
	case err != nil:
		return problem.RetryLater(http.StatusServiceUnavailable, time.Second, "%v", err)
	case !found:
		return unknown(id)
	}
	r.log().Info("control", zap.String("call", "stop"), zap.String("relay", id))
	return nil
}

func unknown(id string) *problem.Problem {
	return problem.New(http.StatusNotFound, "there is no relay %s", problem.Clip(id))
}

// info describes a relay.
func (r *Registry) info(ctx context.Context, id string) (any, *problem.Problem) {
	if err := r.await(ctx); err != nil {
		return nil, problem.RetryLater(http.StatusServiceUnavailable, time.Second, "%v", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.index.relays[id]
	if k == nil {
		return nil, unknown(id)
	}
	return k.info(), nil
}

// list describes the relays.
func (r *Registry) list(ctx context.Context) (any, *problem.Problem) {
	if err := r.await(ctx); err != nil {
		return nil, problem.RetryLater(http.StatusServiceUnavailable, time.Second, "%v", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	newest := make([]*known, 0, len(r.index.relays))
	for _, k := range r.index.relays {
		newest = append(newest, k)
	}
	slices.SortFunc(newest, func(a, b *known) int { return b.since.Compare(a.since) })
	list := List{Relays: []Info{}, Total: len(newest)}
	for _, k := range newest[:min(len(newest), maxRows)] {
		list.Relays = append(list.Relays, k.info())
	}
	return list, nil
}

// info describes the relay.
func (k *known) info() Info {
	i := Info{
		ID: k.id, User: k.User, Topic: k.Topic, Status: k.end, Since: k.since, Events: k.events, Bytes: k.bytes,
		HTTPStatus: k.outcome.Status, Headers: k.outcome.Headers, Error: k.outcome.Error, Body: k.outcome.Body,
	}
	if k.end != Running {
		i.Ended = &k.at
	}
	switch {
	case k.begin.Done == "":
	case k.taken:
		i.Done = "taken"
	default:
		i.Done = "pending"
	}
	return i
}
