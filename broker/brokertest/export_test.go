package brokertest

import (
	"testing"
	"time"
)

// RunCase runs one case of the suite, which reports to r.
func RunCase(t testing.TB, r Reporter, h Harness, name string) {
	for _, c := range contract {
		if c.Name == name {
			c.Run(t, r, h)
			return
		}
	}
	t.Fatalf("no case %q", name)
}

// Hurry shortens what the suite waits for in vain where a fault is planted, until the test is over.
func Hurry(t *testing.T) {
	was := untilHole
	untilHole = 2 * time.Second
	t.Cleanup(func() { untilHole = was })
}
