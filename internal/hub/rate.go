package hub

import (
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// maxReturn bounds the time over which clients that came too many at once are spread.
	maxReturn = time.Minute
	// rateShares is how many shares of the rate there are. Addresses with the same hash have one together.
	rateShares = 4096
)

// rate admits a number of connections per second, and as many at once. Each address has a share: one that has not used its
// share is admitted even if others have used up everything, at the expense of the next second.
type rate struct {
	mu     sync.Mutex // guards all below
	limit  int        // per second; 0: no limit
	tokens float64    // no less than -limit
	began  time.Time
	at     time.Duration // when tokens was computed, since began

	seed   maphash.Seed
	second int64 // since began
	shares []rateShare
	now    int // shares that were asked for in this second
	before int // and in the one before
}

// rateShare is what an address has used.
type rateShare struct {
	second int64         // the last second in which the share was asked for, counted from 1
	used   int           // connections admitted in that second
	taken  time.Duration // since rate.began: every place up to here is promised to a client that was sent away
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

// take reports whether a client is admitted, and if not, after what time it is to come again. Each client that is sent away is
// promised the next free place of its address, so that clients come back no faster than they can be admitted.
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
