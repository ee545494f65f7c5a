package publish

import (
	"context"
	"sync"
	"time"
)

// patience is a context with a deadline, as context.WithTimeout returns it. But it has a timer only if something waits for it,
// which an append rarely does.
type patience struct {
	context.Context // of the request
	deadline        time.Time

	mu     sync.Mutex      // guards the block
	timed  context.Context // with the timer; nil unless something waits
	cancel context.CancelFunc
}

func newPatience(ctx context.Context, timeout time.Duration) *patience {
	return &patience{Context: ctx, deadline: time.Now().Add(timeout)}
}

// end frees what the context holds. Nothing may use it afterwards.
func (p *patience) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cancel != nil {
		p.cancel()
	}
}

// Deadline implements context.Context.
func (p *patience) Deadline() (time.Time, bool) {
	if d, ok := p.Context.Deadline(); ok && d.Before(p.deadline) {
		return d, true
	}
	return p.deadline, true
}

// Done implements context.Context.
func (p *patience) Done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timed == nil {
		p.timed, p.cancel = context.WithDeadline(p.Context, p.deadline)
	}
	return p.timed.Done()
}

// Err implements context.Context.
func (p *patience) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.timed != nil:
		return p.timed.Err()
	case p.Context.Err() != nil:
		return p.Context.Err()
	case !time.Now().Before(p.deadline):
		return context.DeadlineExceeded
	}
	return nil
}
