package subscribe

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/sse"
	"github.com/sse-push/caddy-sse-push/internal/stream"
)

// Reject sends a client away that may come again. An EventSource gets a stream that says so and ends, since it would give up
// for good at any status but 200. A client whose user is denied gets 204, at which an EventSource does not come again.
func (route *Route) Reject(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil { // the client has left, and nothing was wrong
		return
	}
	if errors.Is(err, hub.ErrDenied) {
		if r.Method != http.MethodHead {
			route.hub.Rejected("denied")
		}
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	reason := "broker"
	var refusal *hub.Refusal
	if errors.As(err, &refusal) {
		reason = refusal.Reason
	}
	if c := route.log.Check(zap.DebugLevel, "connection rejected"); c != nil {
		c.Write(zap.String("reason", reason), zap.Error(err))
	}
	route.hub.Rejected(reason)
	retry := jitter(route.retryMax, 5*route.retryMax)
	switch {
	case refusal == nil:
	case refusal.Latest > 0:
		retry = jitter(refusal.Again, refusal.Latest)
	case refusal.Again > 0:
		retry = refusal.Again + jitter(route.retryMin, route.retryMax)
	}
	if !strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		problem.RetryLater(http.StatusServiceUnavailable, retry, "no stream just now (%s)", reason).Write(w)
		return
	}
	stream.SetHeaders(w)
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(sse.Event{Type: "sse:rejected", Retry: retry, Data: fmt.Appendf(nil, `{"reason":%q}`, reason)}.Append(nil))
}

// Temporary returns what Reject takes for the problem of a client that may come again.
func Temporary(p *problem.Problem) error {
	return cmp.Or[error](p.Cause, &hub.Refusal{Reason: p.Again, Again: p.After})
}

// comeAgain returns the problem of a client that an error sends away, and that may come again.
func comeAgain(err error) *problem.Problem {
	p := problem.New(http.StatusServiceUnavailable, "no stream just now")
	p.Again, p.Cause = "broker", err
	var refusal *hub.Refusal
	if errors.As(err, &refusal) {
		p.Again, p.After = refusal.Reason, refusal.Again
	}
	return p
}

// jitter returns a random time of whole milliseconds between two.
func jitter(shortest, longest time.Duration) time.Duration {
	d := shortest + time.Duration(rand.Int64N(int64(longest-shortest)+1))
	return d.Truncate(time.Millisecond)
}
