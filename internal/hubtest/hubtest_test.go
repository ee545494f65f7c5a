package hubtest_test

import (
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/hubtest"
	"github.com/sse-push/caddy-sse-push/internal/sharedlog"
)

// The suite runs on the smallest broker that can be shared and killed.
func TestConformance(t *testing.T) { hubtest.Run(t, sharedlog.New(sharedlog.Fault{}).Harness(t)) }

// The suite finds each fault that is planted in a broker.
func TestPlantedFaults(t *testing.T) {
	hubtest.Hurry(t)
	for name, test := range map[string]struct {
		fault sharedlog.Fault
		in    string // the case that has to find it
		want  string // what it has to say
	}{
		"drops one in 10,000":     {sharedlog.Fault{Drops: 10_000}, "volume", "have not come"},
		"stores twice on a retry": {sharedlog.Fault{Doubles: true}, "roulette", "stored twice"},
		"stores what it refused":  {sharedlog.Fault{Crams: true}, "full for a while", "has come at"},
		"skips what is too new":   {sharedlog.Fault{Skips: true}, "newer node", "was told of 0 gaps"},
		"believes its clock":      {sharedlog.Fault{Distant: true}, "clocks apart", "have not come"},
		"reuses a position":       {sharedlog.Fault{Reuses: true}, "engine rolls back", "were both acknowledged at"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var said sharedlog.Complaints
			hubtest.RunCase(t, &said, sharedlog.New(test.fault).Harness(t), test.in)
			if !strings.Contains(said.String(), test.want) {
				t.Errorf("want %q, got: %s", test.want, said.String())
			}
		})
	}
}

// A broker that often does not know an outcome has no fault.
func TestUnknownOutcome(t *testing.T) {
	for _, name := range []string{"roulette", "nodes restart", "engine restarts", "engine rolls back", "engine stops"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hubtest.RunCase(t, t, sharedlog.New(sharedlog.Fault{Unsure: 10}).Harness(t), name)
		})
	}
}
