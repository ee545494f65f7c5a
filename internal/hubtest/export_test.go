package hubtest

import (
	"slices"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

// RunCase runs one case of the suite, which reports to r.
func RunCase(t testing.TB, r brokertest.Reporter, h brokertest.Harness, name string) {
	for _, c := range slices.Concat(hubs, faults, storms) {
		if c.Name == name {
			c.Run(t, r, h)
			return
		}
	}
	t.Fatalf("no case %q", name)
}

// Hurry shortens what the suite waits for in vain where a fault is planted, until the test is over.
func Hurry(t *testing.T) {
	was := catchUp
	catchUp = 3 * time.Second
	t.Cleanup(func() { catchUp = was })
}
