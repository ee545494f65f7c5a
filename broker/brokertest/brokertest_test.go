package brokertest_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

// The suite runs against the smallest broker that can be shared and killed.
func TestConformance(t *testing.T) { brokertest.Run(t, newEngine(fault{}).harness(t)) }

// recorder keeps what a case has to say.
type recorder struct {
	t  testing.TB
	mu sync.Mutex // guards said

	said []string
}

func (r *recorder) Helper()                         {}
func (r *recorder) Logf(format string, args ...any) { r.t.Logf(format, args...) }
func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, fmt.Sprintf(format, args...))
}

// TestPlantedFaults has the suite run against brokers that are wrong. It must find each.
func TestPlantedFaults(t *testing.T) {
	for name, test := range map[string]struct {
		fault fault
		in    string // the case that has to find it
		want  string // what it has to say
	}{
		"drops one in 10,000":           {fault{drops: 10_000}, "volume", "have not come"},
		"stores twice on a retry":       {fault{doubles: true}, "roulette", "stored twice"},
		"stores twice, by the contract": {fault{doubles: true}, "keys", "was stored 6 times"},
		"stores what it refused":        {fault{crams: true}, "full", "34 entries, want 22"},
		"stores it, under load":         {fault{crams: true}, "full for a while", "has come at"},
		"skips what is too new":         {fault{skips: true}, "newer records", `["a" "b" "c" "d"], want`},
		"skips it, before clients":      {fault{skips: true}, "newer node", "was told of 0 gaps"},
		"believes its clock":            {fault{distant: true}, "clocks apart", "have not come"},
		"remembers keys for ever":       {fault{recalls: true}, "keys after their time", "after its key's time"},
		"forgets what nobody read":      {fault{forgets: true}, "engine rolled back before a tail has read", "and no hole have come"},
		"reuses a position":             {fault{reuses: true}, "engine rolls back", "were both acknowledged at"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &recorder{t: t}
			brokertest.Case(t, r, newEngine(test.fault).harness(t), test.in)
			if !strings.Contains(strings.Join(r.said, "\n"), test.want) {
				t.Errorf("want %q, got %d complaints: %s", test.want, len(r.said), strings.Join(r.said, "\n"))
			}
			for _, s := range r.said {
				t.Log("found:", s)
			}
		})
	}
}

// TestUnknownOutcome: a broker that often does not know is no fault.
func TestUnknownOutcome(t *testing.T) {
	for _, name := range []string{"roulette", "nodes restart", "engine restarts", "engine rolls back", "engine stops"} {
		t.Run(name, func(t *testing.T) { brokertest.Case(t, t, newEngine(fault{unsure: 10}).harness(t), name) })
	}
}
