package brokertest

import (
	"slices"
	"testing"
)

// Case runs one case of the suite, which reports to r.
func Case(t testing.TB, r Reporter, h Harness, name string) {
	for _, c := range slices.Concat(contract, hubs, storms) {
		if c.name == name {
			c.run(t, r, h)
			return
		}
	}
	t.Fatalf("no case %q", name)
}
