package sitetest

import (
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

// Vitals returns what the process's own metrics say.
func (s *Site) Vitals() map[string]float64 {
	s.T.Helper()
	s.HTTP.CloseIdleConnections()
	a := s.Do("GET", "/metrics", "")
	s.HTTP.CloseIdleConnections()
	values := map[string]float64{}
	for line := range strings.Lines(a.Body) {
		if series, text, ok := strings.Cut(strings.TrimSpace(line), " "); ok && series != "#" {
			if v, err := strconv.ParseFloat(text, 64); err == nil {
				values[series] = v
			}
		}
	}
	return values
}

const goroutines, descriptors = "go_goroutines", "process_open_fds"

// NextGC is the vital that tells at which size of the heap the collector runs next. Unlike the resident memory, it does not
// depend on when the collector ran last.
const NextGC = "go_memstats_next_gc_bytes"

// Settled returns the vitals while no client is connected.
func (s *Site) Settled() map[string]float64 {
	s.T.Helper()
	c := s.Open("/events?userId=u1&topic=room&topic=public/*") // starts what the hub starts on first use
	s.Publish("user", "u1", "data", "x")
	c.Want("x")
	c.Close()
	brokertest.Eventually(s.T, "nobody is there", func() bool { return s.present() == 0 })
	return s.Vitals()
}

// present returns how many entries the hub's indexes have.
func (s *Site) present() (total int) {
	s.T.Helper()
	for _, view := range []string{"connections", "users", "topics"} {
		total += Get[struct{ Total int }](s, "/_sse/"+view).Total
	}
	return total
}

// WantNothingLeft waits until the process has no more than before.
func (s *Site) WantNothingLeft(before map[string]float64) {
	s.T.Helper()
	left := map[string]float64{}
	if brokertest.Until(func() bool {
		now := s.Vitals()
		clear(left)
		for series, value := range now {
			switch name, _, _ := strings.Cut(series, "{"); name {
			case "sse_push_connections", "sse_push_users", "sse_push_pending_bytes":
				left[series] = value
			case goroutines, descriptors:
				left[series] = value - before[series]
			}
		}
		left["CLOSE_WAIT"] = float64(closeWaits(s.T, s.Addr))
		left["index"] = float64(s.present())
		if len(left) < 7 {
			s.T.Fatalf("metrics are missing: %v", now)
		}
		maps.DeleteFunc(left, func(_ string, n float64) bool { return n <= 0 })
		return len(left) == 0
	}) {
		return
	}
	s.T.Errorf("left over: %v", left)
	for _, stack := range ownGoroutines() {
		s.T.Log(stack)
	}
}

// closeWaits returns how many connections to an address their clients have closed and the server has not.
func closeWaits(t *testing.T, addr string) (n int) {
	t.Helper()
	_, port, _ := strings.Cut(addr, ":")
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	const closeWait = "08"
	for line := range strings.Lines(string(table)) { // number, local address, remote address, state
		if f := strings.Fields(line); strings.HasSuffix(f[1], fmt.Sprintf(":%04X", number)) && f[3] == closeWait {
			n++
		}
	}
	return n
}
