package inspector

import (
	"sync"
	"time"
)

// attempts bounds how often each client address may try a token: a few times at once, then every few seconds.
type attempts struct {
	mu    sync.Mutex           // guards all below
	by    map[string]time.Time // when all that an address has tried is forgotten
	swept time.Time            // when those that were due were last removed
}

const (
	attemptsAtOnce  = 5
	attemptInterval = 10 * time.Second
	maxAttempts     = 10_000 // addresses that are remembered; all further ones count as one
)

// take counts an attempt and returns 0, or returns how long to wait before the next.
func (a *attempts) take(address string, now time.Time) (wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.by == nil {
		a.by = map[string]time.Time{}
	}
	if _, known := a.by[address]; !known && len(a.by) >= maxAttempts {
		a.sweep(now)
		if len(a.by) >= maxAttempts {
			address = ""
		}
	}
	until := a.by[address]
	if until.Before(now) {
		until = now
	}
	const most = attemptsAtOnce * attemptInterval
	if wait = until.Add(attemptInterval).Sub(now) - most; wait > 0 {
		return wait
	}
	a.by[address] = until.Add(attemptInterval)
	return 0
}

// sweep removes the addresses whose attempts are forgotten, at most once in attemptInterval: a flood of addresses does not pay
// for a walk over all of them each time.
func (a *attempts) sweep(now time.Time) {
	if now.Sub(a.swept) < attemptInterval {
		return
	}
	a.swept = now
	for address, until := range a.by {
		if !now.Before(until) {
			delete(a.by, address)
		}
	}
}

// forgive forgets the attempts of an address.
func (a *attempts) forgive(address string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.by, address)
}
