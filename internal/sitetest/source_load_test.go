package sitetest_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// When the process ends in the middle of many streams, it ends in time. Each client has got its source's events in order and without a
// hole, and each stream of the app is closed.
func TestSourcesOnExit(t *testing.T) {
	const sources, clients = 10, 5
	app := sitetest.NewStreamer(t)
	app.Answer = func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Type", sitetest.EventStream)
		for i := 1; r.Context().Err() == nil; i++ {
			_, _ = fmt.Fprintf(w, "data: %d\n\n", i)
			_ = http.NewResponseController(w).Flush()
			time.Sleep(5 * time.Millisecond) // the app's pace
		}
		return true
	}
	p := sitetest.StartProcess(t, shared(app, "", "share everyone\nper_client off"), "h1", 0, nil)
	var work, running sync.WaitGroup
	for i := range sources * clients {
		running.Add(1)
		work.Go(func() {
			c, err := p.TryStream(sitetest.Limit, "GET", fmt.Sprintf("/clock?n=%d", i%sources), "", "Accept", sitetest.EventStream)
			if err != nil {
				t.Error(err)
				running.Done()
				return
			}
			last, got := 0, 0
			for e := range c.Events {
				n, err := strconv.Atoi(e.Data)
				if err != nil {
					if e.Type != "sse:connected" && e.Type != "sse:closing" {
						t.Errorf("got %q", e.Message)
					}
					continue
				}
				if got > 0 && n != last+1 {
					t.Errorf("after %d came %d", last, n)
				}
				last = n
				if got++; got == 20 {
					running.Done()
				}
			}
			if got < 20 {
				t.Errorf("the stream ended after %d events", got)
				running.Done()
			}
		})
	}
	running.Wait()
	p.Terminate()
	work.Wait()
	if _, open, _ := app.Counts(); open > 0 {
		t.Errorf("%d streams of the app are open", open)
	}
}

// The sources of a hub share a log. If one of them brings so much that what others have brought is gone, their clients that come back
// are told, and get the newest. Those for which nothing was lost are not.
func TestSourceThatFillsTheLog(t *testing.T) {
	app := sitetest.NewStreamer(t)
	s := sitetest.Serve(t, shared(app, "", "share everyone\nlinger 1h"))
	first, much := begun(s, app, "/clock?much", "data: one\n\n")
	missing, clock := begun(s, app, "/clock?clock", "data: one\n\n")
	silent, quiet := begun(s, app, "/clock?silent", "data: one\n\n")
	for _, c := range []*sitetest.Client{first, missing, silent} {
		c.Close()
	}
	read := func(i int, events uint64) {
		brokertest.Eventually(t, "the source has read all", func() bool { return sources()[i].Events == events })
	}
	clock.Send("data: two\n\ndata: three\n\n")
	read(1, 3)
	const size, events = 1_000_000, 70 // more than the log holds
	for range events {
		much.Send("data: " + strings.Repeat("x", size) + "\n\n")
	}
	read(0, 1+events)
	back := s.Resume("/clock?clock", missing.LastID)
	back.WantGap("trimmed")
	back.Want("three")
	back = s.Resume("/clock?silent", silent.LastID)
	quiet.Send("data: two\n\n")
	back.Want("two")
}
