package relay

import "context"

// waiter has the clients that wait for news of a relay.
type waiter struct {
	news chan struct{} // closed when the relay has begun, has an answer or has ended
	n    int
}

// wait returns what is known of a relay as soon as that is enough. It reports false if ctx is done before.
func (r *Registry) wait(ctx context.Context, relay string, enough func(*known) bool) (known, bool) {
	for {
		r.mu.Lock()
		if k := r.index.relays[relay]; k != nil && enough(k) {
			found := *k
			r.mu.Unlock()
			return found, true
		}
		w := r.waiters[relay]
		if w == nil {
			w = &waiter{news: make(chan struct{})}
			r.waiters[relay] = w
		}
		w.n++
		r.mu.Unlock()
		news := false
		select {
		case <-w.news:
			news = true
		case <-r.ctx.Done():
		case <-ctx.Done():
		}
		r.mu.Lock()
		if w.n--; w.n == 0 && r.waiters[relay] == w {
			delete(r.waiters, relay)
		}
		r.mu.Unlock()
		if !news {
			return known{}, false
		}
	}
}
