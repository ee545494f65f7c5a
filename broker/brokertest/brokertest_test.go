package brokertest_test

import (
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sharedlog"
)

// The suite runs on the smallest broker that can be shared and killed.
func TestConformance(t *testing.T) { brokertest.Run(t, sharedlog.New(sharedlog.Fault{}).Harness(t)) }

// The suite finds each fault that is planted in a broker.
func TestPlantedFaults(t *testing.T) {
	brokertest.Hurry(t)
	for name, test := range map[string]struct {
		fault sharedlog.Fault
		in    string // the case that has to find it
		want  string // what it has to say
	}{
		"stores twice on a retry":  {sharedlog.Fault{Doubles: true}, "keys", "was stored 6 times"},
		"stores what it refused":   {sharedlog.Fault{Crams: true}, "full", "34 entries, want 22"},
		"skips what is too new":    {sharedlog.Fault{Skips: true}, "newer records", `["a" "b" "c" "d"], want`},
		"remembers keys for ever":  {sharedlog.Fault{Recalls: true}, "keys after their time", "after its key's time"},
		"forgets what nobody read": {sharedlog.Fault{Forgets: true}, "engine rolled back before a tail has read", "and no hole have come"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var said sharedlog.Complaints
			brokertest.RunCase(t, &said, sharedlog.New(test.fault).Harness(t), test.in)
			if !strings.Contains(said.String(), test.want) {
				t.Errorf("want %q, got: %s", test.want, said.String())
			}
		})
	}
}
