package sitetest_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

// faithful is a client that comes back whenever its stream ends, as EventSource does.
type faithful struct {
	away *atomic.Bool // it does not come back yet

	got    []sse.Message // all events, in the order in which they came
	clean  int           // streams whose end was said
	opened atomic.Int64
}

func (f *faithful) run(s *sitetest.Site, target, last string) error {
	for id := ""; ; {
		if !brokertest.Until(func() bool { return !f.away.Load() && sitetest.Listeners(s.T, s.Addr) == 1 }) {
			return errors.New("nobody listens")
		}
		headers := []string{"Accept", "text/event-stream"}
		if id != "" {
			headers = append(headers, "Last-Event-ID", id)
		}
		c, err := s.TryStream(sitetest.Limit, http.MethodGet, target, "", headers...)
		if err != nil {
			continue // the listener has just gone
		}
		for open := true; open; {
			var e sitetest.Event
			select {
			case e, open = <-c.Events:
			case <-time.After(sitetest.Limit):
				return fmt.Errorf("heard nothing for %s; %d events before", sitetest.Limit, len(f.got))
			}
			if !open {
				break
			}
			if e.ID != "" {
				id = e.ID
			}
			switch e.Type {
			case "sse:connected":
				f.opened.Add(1)
			case "sse:closing":
				f.clean++
			case "sse:position", "sse:rejected":
			default:
				f.got = append(f.got, e.Message)
			}
			if e.Data == last {
				c.Close()
				return nil
			}
		}
		c.Close()
	}
}

// Under load the process is ended, as an operator does it or as a crash does, and started again. All clients come back, and of
// what was acknowledged each has heard all, once and in order, or is told that something is missing.
func TestRestartUnderLoad(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			sitetest.OverAllAtOnce(t, func(t *testing.T, protocol, tls string) { testRestart(t, protocol, tls, signal) })
		})
	}
}

func testRestart(t *testing.T, protocol, tls string, signal syscall.Signal) {
	const clients, each = 10, 50
	p := sitetest.StartProcess(t, sitetest.Crowded(tls, "pending 4KiB", "retry 500ms 600ms\ndrain 300ms"), protocol, 0, nil)
	s := p.Site
	before := s.Settled()
	publisher := s.In(t)
	publisher.Via(protocol)

	var away atomic.Bool
	var all [clients]faithful
	var listening sync.WaitGroup
	for i := range all {
		all[i].away = &away
		listening.Go(func() {
			if err := all[i].run(s, fmt.Sprintf("/events?userId=u%d&topic=room", i), "last"); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	everybody := func(times int64) bool {
		for i := range all {
			if all[i].opened.Load() < times {
				return false
			}
		}
		return true
	}
	brokertest.Eventually(t, "all are connected", func() bool { return everybody(1) })

	// Those whose answer does not come may have been stored or not.
	acknowledged := map[int]bool{}
	n := 0
	publish := func() error {
		n++
		body := fmt.Sprintf(`{"topic": "room", "data": "%d %s"}`, n, strings.Repeat("x", 500))
		resp, err := publisher.HTTP.Do(publisher.Request(t.Context(), "POST", "/_sse/publish", strings.NewReader(body), []string{"Content-Type", "application/json"}))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("got status %d", resp.StatusCode)
		}
		acknowledged[n] = true
		return nil
	}
	for n < each {
		if err := publish(); err != nil {
			t.Fatal(err)
		}
	}
	away.Store(true)
	if err := p.Cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	for publish() == nil { // up to the end, and beyond
	}
	publisher.HTTP.CloseIdleConnections()
	exit := <-p.Exited
	if signal == syscall.SIGTERM && exit != nil {
		t.Errorf("it ended with %v", exit)
	}
	p.Restart()
	epoch := n
	for n < 2*epoch+each { // in its new life the log has more than in the old one before they come back
		if n == 2*epoch {
			away.Store(false)
		}
		if err := publish(); err != nil {
			t.Fatal(err)
		}
	}
	brokertest.Eventually(t, "all have come back", func() bool { return everybody(2) })
	s.Publish("broadcast", "1", "data", "last")
	listening.Wait()

	for i := range all {
		var numbers []int
		gap := -1 // how many had come when it was said that something is missing
		for _, m := range all[i].got {
			if m.Type == "sse:gap" {
				gap = len(numbers)
				continue
			}
			text, _, _ := strings.Cut(m.Data, " ")
			if number, err := strconv.Atoi(text); err == nil {
				numbers = append(numbers, number)
			}
		}
		if !slices.IsSorted(numbers) || len(slices.Compact(slices.Clone(numbers))) != len(numbers) {
			t.Errorf("client %d: got %v", i, numbers)
		}
		if gap < 0 {
			t.Errorf("client %d has heard of no gap", i)
			continue
		}
		for number := range acknowledged {
			covered := number <= epoch && (gap == 0 || number > numbers[gap-1])
			if _, heard := slices.BinarySearch(numbers, number); !heard && !covered {
				t.Errorf("client %d: %d is missing, and no gap covers it", i, number)
			}
		}
		if signal == syscall.SIGTERM && all[i].clean == 0 {
			t.Errorf("client %d was not told when to come back", i)
		}
	}
	publisher.HTTP.CloseIdleConnections()
	s.WantNothingLeft(before)
}
