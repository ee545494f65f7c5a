package hub

import (
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// maxReturn bounds how far those are spread out that came too many at once.
	maxReturn = time.Minute
	// rateShares is how many shares of the rate are told apart. Addresses with the same hash have one together.
	rateShares = 4096
)

// rate admits so many a second, and as many at once. Of several addresses that come, each has a share: one that has not used
// its own gets in even while others use up all there is, on account of the next second.
type rate struct {
	mu     sync.Mutex // guards all below
	limit  int        // a second; 0: no limit
	tokens float64    // down to -limit
	began  time.Time
	at     time.Duration // since began: when tokens was right

	seed   maphash.Seed
	second int64 // since began
	shares []rateShare
	now    int // shares that somebody came for in this second
	before int // and in the one before
}

// rateShare is what an address has had.
type rateShare struct {
	second int64         // the last one in which somebody came, counted from 1
	used   int           // how many were admitted in it
	taken  time.Duration // since rate.began: up to here, every place in the future is promised to somebody who was sent off
}

func (r *rate) configure(limit int, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if limit == r.limit {
		return
	}
	r.limit, r.tokens, r.began, r.at = limit, float64(limit), now, 0
	r.second, r.now, r.before, r.shares = 0, 0, 0, nil
	if limit > 0 {
		r.seed, r.shares = maphash.MakeSeed(), make([]rateShare, rateShares)
	}
}

// take reports whether a client may come in, and otherwise after what time to come again: each that is sent off is
// promised the next place of its address in the future, so that they come back no faster than they can be admitted.
func (r *rate) take(address string, now time.Time) (ok bool, again time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.limit == 0 {
		return true, 0
	}
	limit, at := float64(r.limit), now.Sub(r.began)
	r.tokens = min(limit, r.tokens+max(0, at-r.at).Seconds()*limit)
	r.at = at
	s := r.share(address)
	sharers := max(1, r.now, r.before)
	most := max(1, r.limit/sharers)
	if r.tokens >= 1 || sharers > 1 && s.used < most && r.tokens >= 1-limit {
		r.tokens--
		s.used++
		return true, 0
	}
	s.taken = max(s.taken, at) + time.Second/time.Duration(most)
	if s.taken-at > maxReturn {
		s.taken = at + maxReturn
		return false, rand.N(maxReturn)
	}
	return false, s.taken - at
}

// share returns an address's share in the second that r.at is in.
func (r *rate) share(address string) *rateShare {
	second := int64(r.at/time.Second) + 1
	if second != r.second {
		r.before = 0
		if second == r.second+1 {
			r.before = r.now
		}
		r.second, r.now = second, 0
	}
	s := &r.shares[maphash.String(r.seed, address)%rateShares]
	if s.second != second {
		s.second, s.used = second, 0
		r.now++
	}
	return s
}

// Arrive asks for admission before it is known who a client is. The error is a *Refusal.
func (h *Hub) Arrive(address string) error {
	if ok, again := h.admission.rate.take(address, time.Now()); !ok {
		return &Refusal{Reason: "rate", Again: again}
	}
	return nil
}
