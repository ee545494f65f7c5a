package ssepush_test

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Whoever comes too early is sent off softly, before anything else is asked of him, and told to come when there is
// room.
func TestRate(t *testing.T) {
	const body = `sse_push /events {
		user query userId
		retry 1s
		limits {
			rate 2
			connections 1000
		}
		internal /_sse {
			allow loopback
		}
	}`
	sites := serveAll(t, body)
	s := sites[0]
	start := time.Now()
	var rejected []time.Duration // when each is to come back, since the start
	admitted := 0
	for len(rejected) < 60 && time.Since(start) < limit {
		c := s.stream("GET", "/events?userId=u1", "", "Accept", "text/event-stream")
		if c.status != http.StatusOK || c.header.Get("Content-Type") != "text/event-stream" {
			t.Fatalf("got %d %v", c.status, c.header)
		}
		switch m := c.next(); {
		case m.Type == "sse:connected":
			admitted++
			c.close()
		case m.Type == "sse:rejected" && m.Data == `{"reason":"rate"}` && m.ID == "":
			rejected = append(rejected, time.Since(start)+c.retry)
			c.wantEnd()
		default:
			t.Fatalf("got %q", m)
		}
	}
	elapsed := time.Since(start).Seconds()
	if admitted < 2 || float64(admitted) > 2+2*elapsed+1 {
		t.Errorf("in %.1fs %d were admitted", elapsed, admitted)
	}
	if len(rejected) < 60 {
		t.Fatalf("only %d were rejected", len(rejected))
	}
	slices.Sort(rejected)
	for i := range rejected[6:] {
		if d := rejected[i+6] - rejected[i]; d < 2500*time.Millisecond { // six take three seconds
			t.Errorf("of %d that come back, six do within %s", len(rejected), d)
		}
	}

	// Nobody has been asked yet who he is: it costs nothing to send him off.
	for _, target := range []string{"/events", "/events?userId=u1&topic=not-granted"} {
		waitFor(t, "a rejection in front of a refusal", func() bool {
			a := s.do("GET", target, "", "Accept", "*/*")
			after, err := strconv.Atoi(a.header.Get("Retry-After"))
			return a.status == http.StatusServiceUnavailable && err == nil && after >= 1 && strings.Contains(a.body, "rate")
		})
	}
	for range 5 {
		s.publish("user", "u1", "data", "the internal route has no part in it")
		if a := s.do("HEAD", "/events?userId=u1", ""); a.status != http.StatusOK {
			t.Errorf("HEAD: got %d", a.status)
		}
	}
	waitFor(t, "there is room again", func() bool {
		return s.stream("GET", "/events?userId=u1", "", "Accept", "text/event-stream").next().Type == "sse:connected"
	})

	mustLoad(t, sites, strings.Replace(body, "rate 2", "rate off", 1))
	for range 10 {
		s.open("/events?userId=u1")
	}
	mustLoad(t, sites, strings.Replace(body, "rate 2", "rate 1", 1))
	waitFor(t, "a rejection", func() bool {
		return s.stream("GET", "/events?userId=u2", "", "Accept", "text/event-stream").next().Type == "sse:rejected"
	})
}

// However many come, none is sent off for much longer than a minute.
func TestRateIsBounded(t *testing.T) {
	s := serve(t, route("retry 1s\nlimits {\nrate 1\n}"))
	var longest time.Duration
	for range 200 {
		c := s.stream("GET", "/events?userId=u1", "", "Accept", "text/event-stream")
		if c.next().Type == "sse:rejected" {
			longest = max(longest, c.retry)
		}
		c.close()
	}
	if longest < 20*time.Second || longest > 61*time.Second {
		t.Errorf("the longest is %s", longest)
	}
}
