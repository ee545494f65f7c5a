package brokertest

import "testing"

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
