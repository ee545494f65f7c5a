package hubtest

import (
	"slices"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

// RunCase runs one case of the suite, which reports to r.
func RunCase(t testing.TB, r brokertest.Reporter, h brokertest.Harness, name string) {
	for _, c := range slices.Concat(hubs, storms) {
		if c.Name == name {
			c.Run(t, r, h)
			return
		}
	}
	t.Fatalf("no case %q", name)
}
