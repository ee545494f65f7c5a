package brokertest

import (
	"testing"
	"time"
)

// limit is how long the suite waits for what must happen. Only a broken broker comes near it.
const limit = 60 * time.Second

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
	deadline, look := time.After(d), time.NewTicker(2*time.Millisecond)
	defer look.Stop()
	for !holds() {
		select {
		case <-look.C:
		case <-deadline:
			return holds()
		}
	}
	return true
}
