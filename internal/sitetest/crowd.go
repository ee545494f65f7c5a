package sitetest

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Counter is a client that reads numbered events: the number comes first in their data.
type Counter struct {
	*Client
	Valve *valve // nil: it shares its connection

	Next   int // the number that has to come next
	Gaps   int
	Missed int // how many events the gaps covered
	inGap  bool
}

// Take reads events up to a number, or to a gap that covers it.
func (c *Counter) Take(last int) error {
	for c.Next <= last {
		var e Event
		var ok bool
		select {
		case e, ok = <-c.Events:
		case <-time.After(Limit):
			return fmt.Errorf("waited in vain for %d", c.Next)
		}
		if !ok {
			return fmt.Errorf("the stream has ended before %d", c.Next)
		}
		c.LastID = e.ID
		switch e.Type {
		case "sse:position", "filler":
			continue
		case "sse:gap":
			c.Gaps, c.inGap = c.Gaps+1, true
			continue
		}
		text, _, _ := strings.Cut(e.Data, " ")
		n, err := strconv.Atoi(text)
		if err != nil || n < c.Next || n > c.Next && !c.inGap {
			return fmt.Errorf("got %.100q, want %d", e.Message, c.Next)
		}
		c.Missed, c.Next, c.inGap = c.Missed+n-c.Next, n+1, false
	}
	return nil
}

// TakeAll lets clients read up to a number, all at the same time.
func TakeAll(t *testing.T, last int, clients ...*Counter) {
	t.Helper()
	errs := make(chan error, len(clients))
	for _, c := range clients {
		go func() { errs <- c.Take(last) }()
	}
	for range clients {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// Leave closes streams, also those whose connections are frozen.
func Leave(clients []*Counter) {
	for _, c := range clients {
		c.Close()
		if c.Valve != nil {
			_ = c.Valve.Close()
		}
	}
}

// ClientCount returns how many clients a test has: few, or what the environment variable SSE_PUSH_CLIENTS says.
func ClientCount(t *testing.T, few int) int {
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

// Crowd opens streams, ten at a time.
func (s *Site) Crowd(n int, target string) []*Counter {
	s.T.Helper()
	all := make([]*Counter, n)
	var opening sync.WaitGroup
	for part := range 10 {
		opening.Go(func() {
			for i := part; i < n; i += 10 {
				c, err := s.TryStream(Limit, http.MethodGet, target, "", "Accept", "text/event-stream")
				if err != nil {
					s.T.Error(err)
					return
				}
				if e := <-c.Events; e.Type != "sse:connected" {
					s.T.Errorf("the first event is %q", e.Message)
				}
				all[i] = &Counter{Client: c}
			}
		})
	}
	opening.Wait()
	if s.T.Failed() {
		s.T.FailNow()
	}
	return all
}

// BehindValves opens streams, each with a connection of its own.
func (s *Site) BehindValves(n int, target string, headers ...string) (all []*Counter) {
	s.T.Helper()
	for range n {
		own, v := s.Apart()
		all = append(all, &Counter{Client: own.Open(target, headers...), Valve: v})
	}
	return all
}
