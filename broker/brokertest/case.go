package brokertest

import "testing"

// Reporter takes what a case finds wrong with the broker. It is not *testing.T, so that a suite's own tests can check that a
// planted fault is found.
type Reporter interface {
	Helper()
	Errorf(format string, args ...any)
	Logf(format string, args ...any)
}

// Case is one case of a suite. It calls t.Fatal if it cannot run itself, and reports to r what is wrong with the broker.
type Case struct {
	Name  string
	Run   func(t testing.TB, r Reporter, h Harness)
	Needs func(h Harness) bool // reports whether h can run the case; nil: any harness can
	// Alone keeps the case from running beside others: it counts goroutines or memory, or asks a lot of the machine.
	Alone bool
}

// RunCases runs those of the cases that the harness can run, each on a log of its own.
func RunCases(t *testing.T, h Harness, cases []Case) {
	for _, c := range cases {
		if (c.Needs == nil || c.Needs(h)) && !(c.Alone && h.Crowded) {
			t.Run(c.Name, func(t *testing.T) {
				if !c.Alone {
					t.Parallel()
				}
				c.Run(t, t, h.Fresh(t))
			})
		}
	}
}
