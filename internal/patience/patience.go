// Package patience has a context with a deadline that costs a timer only if something waits for it.
package patience

import (
	"context"
	"sync"
	"time"
)

// Context is a context with a deadline, as context.WithTimeout returns it. Its timer starts with the first call of Done: most of what
// a request does waits for nothing, and costs less than a timer.
type Context struct {
	context.Context // the parent
	deadline        time.Time

	mu     sync.Mutex      // guards what follows
	timed  context.Context // with the timer; nil until something waits
	cancel context.CancelFunc
}

// New returns a context that ends with its parent, or after a time.
func New(parent context.Context, timeout time.Duration) *Context {
	return &Context{Context: parent, deadline: time.Now().Add(timeout)}
}

// Stop frees what the context holds. Nothing may use the context afterwards.
func (c *Context) Stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel != nil {
		c.cancel()
	}
}

// Deadline implements context.Context.
func (c *Context) Deadline() (time.Time, bool) {
	if d, ok := c.Context.Deadline(); ok && d.Before(c.deadline) {
		return d, true
	}
	return c.deadline, true
}

// Done implements context.Context.
func (c *Context) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timed == nil {
		c.timed, c.cancel = context.WithDeadline(c.Context, c.deadline)
	}
	return c.timed.Done()
}

// Value implements context.Context. It finds the context that has the timer, so that a context derived from c takes no goroutine.
func (c *Context) Value(key any) any {
	c.mu.Lock()
	parent := c.Context
	if c.timed != nil {
		parent = c.timed
	}
	c.mu.Unlock()
	return parent.Value(key)
}

// Err implements context.Context.
func (c *Context) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.timed != nil:
		return c.timed.Err()
	case c.Context.Err() != nil:
		return c.Context.Err()
	case !time.Now().Before(c.deadline):
		return context.DeadlineExceeded
	}
	return nil
}
