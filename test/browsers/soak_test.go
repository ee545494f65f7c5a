package browsers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

// Pages that are left open hear every event once, or are told of a gap, while Caddy is reloaded, restarted and killed, and
// connections are cut, at random. SSE_PUSH_SOAK says for how long.
func TestBrowsersSoak(t *testing.T) {
	length := 20 * time.Second
	if text := os.Getenv("SSE_PUSH_SOAK"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	} else if !all() {
		length = time.Second
	}
	s, line := serveByCable(t)
	var pages []*visit
	for _, engine := range harness.Engines {
		browser := harness.NewBrowser(t, engine)
		for _, how := range []string{native, ours, shared, shared} {
			pages = append(pages, s.open(t, browser, how, ""))
		}
	}

	p := &publisher{url: s.route.URL + "/publish", done: make(chan struct{})}
	ctx, stop := context.WithCancel(t.Context())
	go p.run(ctx)
	t.Cleanup(func() { stop(); <-p.done })
	for end := time.Now().Add(length); ; {
		s.trouble(t, line)
		if time.Now().After(end) {
			break
		}
		<-time.After(time.Second + rand.N(4*time.Second))
	}
	stop()
	<-p.done
	s.publish(t, "last")
	for _, v := range pages {
		v.tally(p)
	}
}

// trouble is one of the things that happen to a server and its connections.
func (s *site) trouble(t *testing.T, line *cable) {
	t.Helper()
	restart := func(signal syscall.Signal) {
		s.Signal(signal)
		s.Wait(t)
		s.start(t)
	}
	troubles := []func(){
		func() { s.Reload(t) },
		func() { restart(syscall.SIGTERM) },
		func() { restart(syscall.SIGKILL) },
		func() { line.cut(false) },
		func() { line.cut(true) },
		func() { s.kick(t, "") },
	}
	troubles[rand.N(len(troubles))]()
}

// publisher publishes numbers to ann, some every second.
type publisher struct {
	url  string
	done chan struct{} // closed once it reads and writes no more of what follows

	certain []int // numbers whose publish has been answered
	last    int
}

func (p *publisher) run(ctx context.Context) {
	defer close(p.done)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		p.last++
		body, _ := json.Marshal(harness.Event{"user": "ann", "data": strconv.Itoa(p.last)})
		res, err := harness.Client.Post(p.url, "application/json", bytes.NewReader(body))
		if err != nil {
			continue // Caddy is away, or has gone with the event: the pages may have it, or not
		}
		res.Body.Close()
		if res.StatusCode == http.StatusOK {
			p.certain = append(p.certain, p.last)
		}
	}
}

// tally checks what a page has heard.
func (v *visit) tally(p *publisher) {
	v.t.Helper()
	name := fmt.Sprintf("%s, %s", v.browser.Engine, v.how)
	// EventSource may have given up for good: then its page knows.
	v.Wait(`heard.events.some(({ data }) => data === '"last"') || heard.source?.readyState === EventSource.CLOSED`)
	closed := harness.Eval[bool](v, `heard.source?.readyState === EventSource.CLOSED`)
	times := map[int]int{}
	var connects, gaps, before int
	for _, e := range v.heard() {
		switch n, err := strconv.Atoi(strings.Trim(e.Data, `"`)); {
		case e.Type == "sse:connected":
			connects++
		case e.Type == "sse:gap":
			gaps++
		case e.Type == "message" && err == nil:
			if times[n]++; times[n] > 1 {
				v.t.Errorf("%s: %d came %d times", name, n, times[n])
			}
			if n < before {
				v.t.Errorf("%s: %d came after %d", name, n, before)
			}
			before = n
		}
	}
	missed := 0
	for _, n := range p.certain {
		if times[n] == 0 {
			missed++
		}
	}
	v.t.Logf("%-20s %d events, %d missed, %d connects, %d gaps, closed: %t", name, len(times), missed, connects, gaps, closed)
	if missed > 0 && gaps == 0 && !closed {
		v.t.Errorf("%s: %d events were missed without a word", name, missed)
	}
}
