package inspector

import (
	"fmt"
	"testing"
	"time"
)

func TestAttempts(t *testing.T) {
	var a attempts
	now := time.Now()
	for n := range attemptsAtOnce {
		if wait := a.take("a", now); wait > 0 {
			t.Fatalf("attempt %d has to wait %s", n, wait)
		}
	}
	if wait := a.take("a", now); wait != attemptInterval {
		t.Errorf("got %s, want %s", wait, attemptInterval)
	}
	if wait := a.take("b", now); wait != 0 {
		t.Errorf("another address has to wait %s", wait)
	}
	now = now.Add(attemptInterval)
	if wait := a.take("a", now); wait != 0 {
		t.Errorf("later: got %s", wait)
	}
	if wait := a.take("a", now); wait != attemptInterval {
		t.Errorf("later, again: got %s", wait)
	}
	a.forgive("a")
	if wait := a.take("a", now); wait != 0 {
		t.Errorf("forgiven: got %s", wait)
	}

	// All addresses beyond the limit share one count, and take no more memory.
	for n := range maxAttempts + 1000 {
		a.take(fmt.Sprint(n), now)
	}
	if len(a.by) > maxAttempts+1 {
		t.Errorf("%d addresses are remembered", len(a.by))
	}
	if !a.swept.Equal(now) {
		t.Errorf("the last sweep was at %s", a.swept)
	}
	if wait := a.take("one more", now.Add(time.Second)); wait == 0 || !a.swept.Equal(now) {
		t.Errorf("one more waits %s, the last sweep was at %s", wait, a.swept)
	}
	if wait := a.take("one more", now.Add(time.Hour)); wait != 0 || len(a.by) > 10 {
		t.Errorf("an hour later: got %s, %d remembered", wait, len(a.by))
	}
}
