package ssepush_test

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// clients is how many there are: an environment variable can ask for more than is quick.
func clients(t *testing.T, few int) int {
	t.Helper()
	text := os.Getenv("SSE_PUSH_CLIENTS")
	if text == "" {
		return few
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("SSE_PUSH_CLIENTS: %v", err)
	}
	return n
}

// crowd opens streams, ten at a time.
func (s *site) crowd(n int, target string) []*serial {
	s.t.Helper()
	all := make([]*serial, n)
	var opening sync.WaitGroup
	for part := range 10 {
		opening.Go(func() {
			for i := part; i < n; i += 10 {
				c, err := s.tryStream(limit, http.MethodGet, target, "", "Accept", "text/event-stream")
				if err != nil {
					s.t.Error(err)
					return
				}
				if e := <-c.events; e.Type != "sse:connected" {
					s.t.Errorf("the first event is %q", e.Message)
				}
				all[i] = &serial{client: c}
			}
		})
	}
	opening.Wait()
	if s.t.Failed() {
		s.t.FailNow()
	}
	return all
}

// behindValves opens streams, each with a connection of its own.
func (s *site) behindValves(n int, target string, headers ...string) (all []*serial) {
	s.t.Helper()
	for range n {
		own, v := s.apart()
		all = append(all, &serial{client: own.open(target, headers...), valve: v})
	}
	return all
}

// While some read nothing, or a byte now and then, the others hear each event in order as if nothing were. The slow
// miss nothing either, as soon as they read again; and if they leave instead, nothing is left.
func TestFrozenClients(t *testing.T) {
	overAll(t, func(t *testing.T, protocol, tls string) {
		n := clients(t, map[string]int{"h1": 500, "h1-TLS": 100, "h2": 150}[protocol])
		s := serve(t, fair(tls, "pending 16KiB", ""))
		s.via(protocol)
		before := s.settled()
		publisher := s.in(t)
		publisher.via(protocol)
		quick := s.crowd(n-n/10, "/events?userId=u1&topic=room")
		slow := s.behindValves(n/10, "/events?userId=u2&topic=room&topic=public/slow")

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
						if err := c.take(count); err != nil {
							t.Error(err)
						}
						delays[i] = time.Since(at)
					})
				}
				a := publisher.do(http.MethodPost, "/_sse/publish", fmt.Sprintf(`[{"topic": "public/slow", "event": "filler", "data": "%s"},
					{"topic": "room", "data": "%d"}]`, pad, count), "Content-Type", "application/json")
				if a.status != http.StatusOK || strings.Contains(a.body, "error") {
					t.Fatalf("publish: got %d %s", a.status, a.body)
				}
				reading.Wait()
				if t.Failed() {
					t.FailNow()
				}
				took = append(took, delays...)
				count++
				for i, c := range slow {
					if i%2 == 0 {
						c.valve.drip()
					}
				}
			}
			slices.Sort(took)
			return took
		}
		free := round()
		takeAll(t, count-1, slow...)
		for _, c := range slow {
			c.valve.freeze()
		}
		frozen := round()
		t.Logf("%d clients: p50 %s, p99 %s; with %d of them frozen: p50 %s, p99 %s", n, free[len(free)/2], free[len(free)*99/100],
			len(slow), frozen[len(frozen)/2], frozen[len(frozen)*99/100])
		if slowed := s.scrape()[`sse_push_catchups_total{cause="slow",hub="main"}`]; int(slowed) < len(slow) {
			t.Errorf("%v clients were slow, want %d or more", slowed, len(slow))
		}

		leave(slow[len(slow)/2:]) // in the middle of a frame, as it happens
		slow = slow[:len(slow)/2]
		for _, c := range slow {
			c.valve.thaw()
		}
		takeAll(t, count-1, slow...)
		for _, c := range slow {
			if c.gaps > 0 {
				t.Errorf("a slow client heard of %d gaps", c.gaps)
			}
		}
		leave(slow)
		leave(quick)
		publisher.client.CloseIdleConnections()
		s.wantNothingLeft(before)
	})
}
