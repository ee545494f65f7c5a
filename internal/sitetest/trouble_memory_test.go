package sitetest_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// Large events to clients that do not take them: the history stays within its bounds, and a client that is stuck keeps no
// more than the one event that it is in the middle of. Each client gets all, or is told of what it missed.
func TestLargeEventsToSlowClients(t *testing.T) {
	t.Parallel()
	sitetest.OverAllAtOnce(t, func(t *testing.T, protocol, tls string) {
		const (
			size    = 256 << 10
			events  = 72
			history = 8
			stuck   = 12 // a part of them every so many events, so that each part is in the middle of another
			parts   = 3
		)
		s := sitetest.StartProcess(t, sitetest.Crowded(tls, "", fmt.Sprintf("history {\nbytes %dKiB\n}", history*size>>10)), protocol, 0, nil).Site
		before := s.Settled()
		publisher := s.In(t)
		publisher.Via(protocol)
		quick := &sitetest.Counter{Client: s.Open("/events?userId=u1&topic=room")}
		var slow []*sitetest.Counter
		var most float64
		data := strings.Repeat("x", size-10)
		for i := range events {
			if i%(events/parts) == 0 {
				for _, c := range s.BehindValves(stuck/parts, "/events?userId=u2&topic=room") {
					c.Next = i
					c.Valve.Freeze()
					slow = append(slow, c)
				}
			}
			a := publisher.Do(http.MethodPost, "/_sse/publish?topic=room", fmt.Sprintf("%d %s", i, data), "Content-Type", "text/plain")
			if a.Status != http.StatusOK {
				t.Fatalf("publish: got %d %s", a.Status, a.Body)
			}
			if err := quick.Take(i); err != nil {
				t.Fatal(err)
			}
			if i%8 == 7 {
				most = max(most, s.Vitals()[sitetest.NextGC])
			}
		}
		// The collector runs when the heap has grown to twice of what was in use. Beside the history there is what is stuck, and
		// what the process does its work with.
		const bound = 2 * (history + stuck + 12) * size
		t.Logf("from %.0f KiB to %.0f KiB, with %d events of %d KiB to %d that read nothing", before[sitetest.NextGC]/1024, most/1024, events, size>>10, len(slow))
		if grown := most - before[sitetest.NextGC]; grown > bound {
			t.Errorf("it has grown by %.0f KiB", grown/1024)
		}
		for i, c := range slow {
			c.Valve.Thaw()
			if i%4 != 0 {
				continue
			}
			if err := c.Take(events - 1); err != nil {
				t.Fatal(err)
			}
			if oldest := i / (stuck / parts) * events / parts; c.Missed > 0 != (events-oldest > history) {
				t.Errorf("one that stood still from %d on missed %d, and heard of %d gaps", oldest, c.Missed, c.Gaps)
			}
		}
		sitetest.Leave(slow) // most of them with much of the history still to come
		quick.Close()
		publisher.HTTP.CloseIdleConnections()
		s.WantNothingLeft(before)
	})
}
