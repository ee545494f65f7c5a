package brokertest

import (
	"testing"
	"time"
)

// limit is how long the suite waits for what must happen. Only a broken broker comes near it.
const limit = 60 * time.Second

// maxPause is the longest time between two looks at a condition.
const maxPause = 10 * time.Millisecond

// Eventually waits until a condition holds, and is fatal if it does not within a minute.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	if !Until(holds) {
		t.Fatalf("waited %s in vain: %s", limit, what)
	}
}

// Until waits up to a minute until a condition holds, and reports whether it does.
func Until(holds func() bool) bool { return within(limit, holds) }

// within is Until for at most d.
func within(d time.Duration, holds func() bool) bool {
	deadline := time.After(d)
	// Soon at first, then less often: what a condition asks, such as a browser, may cost more than the wait.
	for pause := time.Millisecond; !holds(); pause = min(pause+pause/4, maxPause) {
		select {
		case <-time.After(pause):
		case <-deadline:
			return holds()
		}
	}
	return true
}
