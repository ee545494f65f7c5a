package hub

import (
	"math/rand/v2"
	"sync"
	"time"
)

// maxReturn bounds how far those are spread out that came too many at once.
const maxReturn = time.Minute

// rate admits so many a second, and as many at once.
type rate struct {
	mu     sync.Mutex // guards all below
	limit  int        // a second; 0: no limit
	tokens float64
	at     time.Time // when tokens was right
	taken  time.Time // up to here, every place in the future is promised to somebody who was sent off
}

func (r *rate) configure(limit int, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if limit != r.limit {
		r.limit, r.tokens, r.at = limit, float64(limit), now
	}
}

// take reports whether one may come in, and otherwise after what time to come again: each who is sent off is
// promised the next place in the future, so that they come back no faster than they can be admitted.
func (r *rate) take(now time.Time) (ok bool, again time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.limit == 0 {
		return true, 0
	}
	limit := float64(r.limit)
	r.tokens = min(limit, r.tokens+max(0, now.Sub(r.at).Seconds())*limit)
	r.at = now
	if r.tokens >= 1 {
		r.tokens--
		return true, 0
	}
	if r.taken.Before(now) {
		r.taken = now
	}
	if r.taken = r.taken.Add(time.Second / time.Duration(r.limit)); r.taken.Sub(now) > maxReturn {
		r.taken = now.Add(maxReturn)
		return false, rand.N(maxReturn)
	}
	return false, r.taken.Sub(now)
}

// Arrive asks for admission before anything else is known of a client. The error is a *Refusal.
func (h *Hub) Arrive() error {
	if ok, again := h.admission.rate.take(time.Now()); !ok {
		return &Refusal{Reason: "rate", Again: again}
	}
	return nil
}
