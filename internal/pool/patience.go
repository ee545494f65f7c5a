package pool

import (
	"context"
	"sync"
	"time"
)

// patience is the context in which a client is admitted. It ends with the client's own context, or after admitTimeout. A timer costs
// more than most admissions, which wait for nothing, so it starts only when something asks for Done.
type patience struct {
	client context.Context
	until  time.Time

	mu    sync.Mutex      // guards what follows
	timed context.Context // nil until something waits
	stop  context.CancelFunc
}

func newPatience(client context.Context) *patience {
	return &patience{client: client, until: time.Now().Add(admitTimeout)}
}

// Done implements context.Context.
func (p *patience) Done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timed == nil {
		p.timed, p.stop = context.WithDeadline(p.client, p.until)
	}
	return p.timed.Done()
}

// Err implements context.Context.
func (p *patience) Err() error {
	if err := p.current().Err(); err != nil || time.Now().Before(p.until) {
		return err
	}
	return context.DeadlineExceeded
}

// Value implements context.Context.
func (p *patience) Value(key any) any { return p.current().Value(key) }

// Deadline implements context.Context.
func (p *patience) Deadline() (time.Time, bool) {
	if until, ok := p.client.Deadline(); ok && until.Before(p.until) {
		return until, true
	}
	return p.until, true
}

func (p *patience) current() context.Context {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timed == nil {
		return p.client
	}
	return p.timed
}

// end stops the timer, if it was started.
func (p *patience) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stop != nil {
		p.stop()
	}
}
