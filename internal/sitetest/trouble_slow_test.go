package sitetest_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// While some read nothing, or a byte now and then, the others hear each event in order as if nothing were. The slow
// miss nothing either, as soon as they read again; and if they leave instead, nothing is left.
func TestFrozenClients(t *testing.T) {
	sitetest.OverAll(t, func(t *testing.T, protocol, tls string) {
		n := sitetest.ClientCount(t, map[string]int{"h1": 80, "h1-TLS": 40, "h2": 60}[protocol])
		s := sitetest.Serve(t, sitetest.Crowded(tls, "pending 16KiB", ""))
		s.Via(protocol)
		before := s.Settled()
		publisher := s.In(t)
		publisher.Via(protocol)
		quick := s.Crowd(n-n/10, "/events?userId=u1&topic=room")
		slow := s.BehindValves(n/10, "/events?userId=u2&topic=room&topic=public/slow")

		// Each event is published when the one before it has come to all that read. What fills the sockets of the slow is for
		// them alone, so that the others' delays are those of small events.
		const rounds, filler = 20, 25_000
		pad := strings.Repeat("x", filler)
		count := 0
		round := func() []time.Duration {
			took := make([]time.Duration, 0, rounds*n)
			for range rounds {
				at := time.Now()
				delays := make([]time.Duration, len(quick))
				var reading sync.WaitGroup
				for i, c := range quick {
					reading.Go(func() {
						if err := c.Take(count); err != nil {
							t.Error(err)
						}
						delays[i] = time.Since(at)
					})
				}
				a := publisher.Do(http.MethodPost, "/_sse/publish", fmt.Sprintf(`[{"topic": "public/slow", "event": "filler", "data": "%s"},
					{"topic": "room", "data": "%d"}]`, pad, count), "Content-Type", "application/json")
				if a.Status != http.StatusOK || strings.Contains(a.Body, "error") {
					t.Fatalf("publish: got %d %s", a.Status, a.Body)
				}
				reading.Wait()
				if t.Failed() {
					t.FailNow()
				}
				took = append(took, delays...)
				count++
				for i, c := range slow {
					if i%2 == 0 {
						c.Valve.Drip()
					}
				}
			}
			slices.Sort(took)
			return took
		}
		free := round()
		sitetest.TakeAll(t, count-1, slow...)
		for _, c := range slow {
			c.Valve.Freeze()
		}
		frozen := round()
		t.Logf("%d clients: p50 %s, p99 %s; with %d of them frozen: p50 %s, p99 %s", n, free[len(free)/2], free[len(free)*99/100],
			len(slow), frozen[len(frozen)/2], frozen[len(frozen)*99/100])
		if slowed := s.Scrape()[`sse_push_catchups_total{cause="slow",hub="main"}`]; int(slowed) < len(slow) {
			t.Errorf("%v clients were slow, want %d or more", slowed, len(slow))
		}

		sitetest.Leave(slow[len(slow)/2:]) // in the middle of a frame, as it happens
		slow = slow[:len(slow)/2]
		for _, c := range slow {
			c.Valve.Thaw()
		}
		sitetest.TakeAll(t, count-1, slow...)
		for _, c := range slow {
			if c.Gaps > 0 {
				t.Errorf("a slow client heard of %d gaps", c.Gaps)
			}
		}
		sitetest.Leave(slow)
		sitetest.Leave(quick)
		publisher.HTTP.CloseIdleConnections()
		s.WantNothingLeft(before)
	})
}
