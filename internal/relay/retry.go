package relay

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/egress"
)

const (
	// firstRetry is about how long a request waits before it is sent again. Each time it is twice as long.
	firstRetry = time.Second
	// maxRetryAfter is the longest wait that an upstream may ask for. Beyond that, its answer stands.
	maxRetryAfter = time.Minute
)

// again returns how long to wait after an attempt, of at most so many, before the request is sent once more. It reports false if what has
// come of it stands.
func again(attempt, most int, answer *http.Response, err error) (pause time.Duration, ok bool) {
	pause = firstRetry << (attempt - 1)
	pause = pause/2 + rand.N(pause)
	switch {
	case attempt >= most:
		return 0, false
	case err != nil:
		return pause, egress.Unsent(err)
	case answer.StatusCode != http.StatusTooManyRequests && answer.StatusCode/100 != 5:
		return 0, false
	}
	asked := retryAfter(answer.Header, time.Now())
	return max(pause, asked), asked <= maxRetryAfter
}

// retryAfter returns how long an answer asks its client to wait; 0 if it does not say.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 32); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return at.Sub(now)
	}
	return 0
}

// sleep waits, and reports false if ctx is done before.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
