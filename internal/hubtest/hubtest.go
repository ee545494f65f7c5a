// Package hubtest is the suite that runs hubs with clients on a broker, on the harness that package brokertest takes, and
// breaks the broker's engine meanwhile. An oracle accounts for every event: each acknowledged event that matches a client
// reaches it exactly once and in order, or a gap covers it; one whose outcome is unknown reaches it at most once; one that
// was refused never does.
//
// It is beside brokertest so that nothing below broker imports a hub. SSE_PUSH_SOAK=<duration> repeats the suite for that
// long.
package hubtest

import (
	"flag"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

// Run runs the suite.
func Run(t *testing.T, h brokertest.Harness) {
	soak, err := time.ParseDuration(os.Getenv("SSE_PUSH_SOAK"))
	if err != nil && os.Getenv("SSE_PUSH_SOAK") != "" {
		t.Fatalf("SSE_PUSH_SOAK: %v", err)
	}
	for start, again := time.Now(), true; again && !t.Failed(); again = time.Since(start) < soak {
		t.Run("hubs", func(t *testing.T) { brokertest.RunCases(t, h, slices.Concat(faults, hubs)) }) // the longest first
		t.Run("storms", func(t *testing.T) { brokertest.RunCases(t, h, storms) })
	}
}

// RunFaults runs only the cases in which the engine fails, because another version of the same engine may fail in another way.
// In all other cases, what clients notice depends on the hub alone.
func RunFaults(t *testing.T, h brokertest.Harness) {
	t.Run("faults", func(t *testing.T) { brokertest.RunCases(t, h, faults) })
}

// hubs are the cases in which the engine is well.
var hubs = []brokertest.Case{
	{Name: "roulette", Run: roulette},
	{Name: "volume", Run: volume},
	{Name: "small window", Run: smallWindow},
	{Name: "nodes restart", Run: nodesRestart},
	{Name: "away past retention", Run: awayPastRetention, Needs: trims},
	{Name: "trimmed while quiet", Run: trimmedWhileQuiet, Needs: trims},
	{Name: "many lives", Run: manyLives, Needs: keeps},
	{Name: "a topic is taken away", Run: takenAway, Needs: keeps},
	{Name: "excluded, and back", Run: excludedAfterReconnect},
	{Name: "pages in the budget", Run: pagesInTheBudget, Needs: keeps},
	{Name: "claims", Run: claims, Needs: shared},
	{Name: "claims beside an older node", Run: claimsBesideOlder, Needs: shared},
	{Name: "offline", Run: offline, Needs: shared},
	{Name: "joins once", Run: joinsOnce, Needs: shared},
	{Name: "presence over a restart", Run: presenceOverRestart, Needs: keeps},
	{Name: "additions", Run: additions},
}

// faults are the cases in which the engine fails, clocks differ, or other programs write to the log.
var faults = []brokertest.Case{
	{Name: "full for a while", Run: fullForAWhile, Needs: fills},
	{Name: "newer node", Run: newerNode, Needs: takesPut},
	{Name: "forged records", Run: forgedRecords, Needs: takesPut},
	{Name: "clocks apart", Run: clocksApart, Needs: shared}, // older engines tell the time less often
	{Name: "clock back", Run: clockBack, Needs: movesClock},
	{Name: "clock back, rolled back", Run: clockBackRolledBack, Needs: func(h brokertest.Harness) bool { return movesClock(h) && hasEngine(h) }},
	{Name: "counts of an emptied engine", Run: countsOfEmptied, Needs: func(h brokertest.Harness) bool { return h.Shared && hasEngine(h) }},
	{Name: "engine restarts", Run: engineRestarts, Needs: hasEngine},
	{Name: "engine rolls back", Run: engineRollsBack, Needs: hasEngine},
	{Name: "engine is emptied", Run: engineEmptied, Needs: hasEngine},
	{Name: "engine stops", Run: engineStops, Needs: hasEngine},
	{Name: "bad line", Run: badLine, Needs: proxied},
	{Name: "one node's line", Run: oneLine, Needs: func(h brokertest.Harness) bool { return proxied(h) && h.Shared }},
}

// Main runs the tests of a package, several at a time even on few processors: most of them wait for a server, or for time to
// pass.
func Main(m *testing.M) int {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if most := 6; !given && runtime.GOMAXPROCS(0) < most {
		if err := flag.Set("test.parallel", strconv.Itoa(most)); err != nil {
			panic(err)
		}
	}
	return m.Run()
}

func keeps(h brokertest.Harness) bool      { return h.Keeps }
func trims(h brokertest.Harness) bool      { return h.Trim != nil && h.Keeps }
func shared(h brokertest.Harness) bool     { return h.Shared }
func hasEngine(h brokertest.Harness) bool  { return h.Engine != nil }
func proxied(h brokertest.Harness) bool    { return h.Addr != "" }
func fills(h brokertest.Harness) bool      { return h.Full != nil }
func takesPut(h brokertest.Harness) bool   { return h.Put != nil }
func inProcess(h brokertest.Harness) bool  { return h.InProcess }
func movesClock(h brokertest.Harness) bool { return h.ClockBack != nil }
