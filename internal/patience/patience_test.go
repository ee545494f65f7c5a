package patience

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

const timeout = 2 * time.Second

type key struct{}

// It ends when a context of context.WithTimeout would, whenever something begins to wait for it.
func TestContext(t *testing.T) {
	for _, c := range []struct {
		name   string
		parent time.Duration // from the begin; 0: it is not cancelled
		asked  time.Duration
		after  time.Duration // when it is done
		err    error
	}{
		{"in time", 0, 0, timeout, context.DeadlineExceeded},
		{"late", 0, time.Second, timeout, context.DeadlineExceeded},
		{"too late", 0, 3 * time.Second, 3 * time.Second, context.DeadlineExceeded},
		{"the client leaves", time.Second, 0, time.Second, context.Canceled},
		{"the client has left", time.Second, 1500 * time.Millisecond, 1500 * time.Millisecond, context.Canceled},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				parent, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
				defer cancel()
				if c.parent > 0 {
					time.AfterFunc(c.parent, cancel)
				}
				p := New(parent, timeout)
				defer p.Stop()
				if d, ok := p.Deadline(); !ok || d != begin.Add(timeout) || p.Err() != nil {
					t.Errorf("the deadline is %v, the error %v", d, p.Err())
				}
				time.Sleep(c.asked)
				synctest.Wait()
				if done := c.asked >= c.after; done != (p.Err() != nil) || p.timed != nil {
					t.Errorf("before anything waits: %v, and a timer: %t", p.Err(), p.timed != nil)
				}
				child, stop := context.WithCancel(p)
				defer stop()
				<-child.Done()
				if got := p.Value(key{}); got != "value" {
					t.Errorf("the parent's value is %v", got)
				}
				if took := time.Since(begin); took != c.after || !errors.Is(p.Err(), c.err) || !errors.Is(child.Err(), c.err) {
					t.Errorf("done after %s: %v and %v", took, p.Err(), child.Err())
				}
			})
		})
	}
	parent, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	want, _ := parent.Deadline()
	if d, _ := New(parent, timeout).Deadline(); d != want {
		t.Errorf("the deadline is %v, the client's is %v", d, want)
	}
}
