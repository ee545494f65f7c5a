package ssepush_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// Large events to clients that do not take them: the history stays within its bounds, and a client that is stuck keeps no
// more than the one event that it is in the middle of. Everybody gets all, or is told of what he missed.
func TestLargeEventsToSlowClients(t *testing.T) {
	overAll(t, func(t *testing.T, protocol, tls string) {
		const (
			mib     = 1 << 20
			events  = 72
			history = 8
			stuck   = 12 // a part of them every so many events, so that each part is in the middle of another
			parts   = 3
		)
		s := start(t, fair(tls, "", fmt.Sprintf("history {\nbytes %dMiB\n}", history)), protocol, 0, nil).site
		before := s.settled()
		publisher := s.in(t)
		publisher.via(protocol)
		quick := &serial{client: s.open("/events?userId=u1&topic=room")}
		var slow []*serial
		var most float64
		data := strings.Repeat("x", mib-10)
		for i := range events {
			if i%(events/parts) == 0 {
				for _, c := range s.behindValves(stuck/parts, "/events?userId=u2&topic=room") {
					c.next = i
					c.valve.freeze()
					slow = append(slow, c)
				}
			}
			a := publisher.do(http.MethodPost, "/_sse/publish?topic=room", fmt.Sprintf("%d %s", i, data), "Content-Type", "text/plain")
			if a.status != http.StatusOK {
				t.Fatalf("publish: got %d %s", a.status, a.body)
			}
			if err := quick.take(i); err != nil {
				t.Fatal(err)
			}
			if i%8 == 7 {
				most = max(most, s.vitals()[resident])
			}
		}
		// Twice, as the collector lets the heap grow so far; and beside the history what is stuck, and what the process does
		// its work with.
		const bound = 2 * (history + stuck + 16) * mib
		t.Logf("from %.0f MiB to %.0f MiB, with %d events of 1 MiB to %d who read nothing", before[resident]/mib, most/mib, events, len(slow))
		if grown := most - before[resident]; grown > bound {
			t.Errorf("it has grown by %.0f MiB", grown/mib)
		}
		for i, c := range slow {
			c.valve.thaw()
			if i%4 != 0 {
				continue
			}
			if err := c.take(events - 1); err != nil {
				t.Fatal(err)
			}
			if oldest := i / (stuck / parts) * events / parts; c.missed > 0 != (events-oldest > history) {
				t.Errorf("one that stood still from %d on missed %d, and heard of %d gaps", oldest, c.missed, c.gaps)
			}
		}
		leave(slow) // most of them with much of the history still to come
		quick.close()
		publisher.client.CloseIdleConnections()
		s.wantNothingLeft(before)
	})
}
