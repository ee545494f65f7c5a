package pool

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A client's admission may take admitTimeout, counted from when the client came and not from when it began to wait.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		came := time.Now()
		p := newPatience(t.Context())
		defer p.end()
		time.Sleep(admitTimeout / 2)
		if err := p.Err(); err != nil {
			t.Errorf("over early: %v", err)
		}
		derived, cancel := context.WithCancel(p)
		defer cancel()
		<-derived.Done()
		if took := time.Since(came); took != admitTimeout {
			t.Errorf("over after %v", took)
		}
		if err := p.Err(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

// It is over with the client's own context, and, if nothing waits, without a timer.
func TestPatienceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, leave := context.WithCancel(t.Context())
		waiting, idle := newPatience(client), newPatience(client)
		defer waiting.end()
		done := waiting.Done()
		leave()
		<-done
		for _, p := range []*patience{waiting, idle} {
			if err := p.Err(); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		}
		late := newPatience(t.Context())
		time.Sleep(admitTimeout)
		if err := late.Err(); !errors.Is(err, context.DeadlineExceeded) || late.timed != nil {
			t.Errorf("got %v", err)
		}
	})
}
