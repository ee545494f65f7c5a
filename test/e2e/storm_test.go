package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/sse"
	"github.com/sse-push/caddy-sse-push/test/harness"
)

// storm is many clients that hold a stream each, and come back whenever it ends, as EventSource does.
type storm struct {
	url    string
	client *http.Transport

	mu      sync.Mutex // guards all below
	round   context.Context
	leave   context.CancelFunc
	heard   map[string]int // how many clients had an event, by its data
	refused []string       // by what clients were refused for good
}

func newStorm(t *testing.T, url string) *storm {
	t.Helper()
	c := &storm{url: url, client: &http.Transport{DisableKeepAlives: true}, heard: map[string]int{}}
	c.round, c.leave = context.WithCancel(context.Background())
	return c
}

// cut ends all streams from the clients' side.
func (c *storm) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leave()
	c.round, c.leave = context.WithCancel(context.Background())
}

func (c *storm) hearers(data string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.heard[data]
}

// run is one client, until the context ends.
func (c *storm) run(ctx context.Context, cookie string) {
	lastID := ""
	for ctx.Err() == nil {
		retry := 100 * time.Millisecond
		c.mu.Lock()
		round := c.round
		c.mu.Unlock()
		status, err := c.listen(round, cookie, &lastID, &retry)
		if err == nil && status != http.StatusOK {
			c.mu.Lock()
			c.refused = append(c.refused, cookie+": "+strconv.Itoa(status))
			c.mu.Unlock()
			return
		}
		again := time.NewTimer(retry)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
		}
	}
}

func (c *storm) listen(ctx context.Context, cookie string, lastID *string, retry *time.Duration) (status int, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url, nil)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set("Cookie", cookie)
	if *lastID != "" {
		r.Header.Set("Last-Event-ID", *lastID)
	}
	res, err := c.client.RoundTrip(r)
	if err != nil {
		return 0, err // the server is away, which EventSource bears with
	}
	defer res.Body.Close()
	reader := sse.NewReader(res.Body, 0)
	for res.StatusCode == http.StatusOK {
		m, err := reader.Next()
		if err != nil {
			break
		}
		if *lastID = reader.LastEventID(); !strings.HasPrefix(m.Type, "sse:") {
			c.mu.Lock()
			c.heard[m.Data]++
			c.mu.Unlock()
		}
	}
	if given := reader.Retry(); given > 0 {
		*retry = given
	}
	return res.StatusCode, nil
}

// A storm of reconnects is no storm at the app: however often 2,000 clients of 200 users come, it is asked once for a user and ttl.
func TestReconnectStormByAuthorize(t *testing.T) {
	const users, each, ttl = 200, 10, 10 * time.Second // ttl is the default
	dir := harness.Dir(t)
	log := filepath.Join(dir, "asked")
	fpm := harness.StartFPM(t, 2, "ASKED="+log)
	caddyfile, url := site(t, `sse_push /events {
		user authorize /whoami.php
		topics room
		retry 500ms 1s
		internal /_sse {
			allow loopback
		}
	}
	`+scripts(fpm))
	route := harness.Route{URL: url + "/_sse"}
	caddy := harness.StartCaddy(t, caddyfile)

	c := newStorm(t, url+"/events?topic=room")
	ctx, stop := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	defer func() {
		stop()
		c.cut()
		clients.Wait()
	}()
	for i := range users * each {
		clients.Go(func() { c.run(ctx, fmt.Sprintf("session=u%d", i%users)) })
	}
	all := func(when string) {
		t.Helper()
		begin := time.Now()
		harness.EventuallyEqual(t, "connections "+when, users*each, func() int { return route.Connections(t, "") })
		route.Publish(t, harness.Event{"topic": "room", "data": when})
		harness.EventuallyEqual(t, "clients that hear the room "+when, users*each, func() int { return c.hearers(when) })
		t.Logf("%s: all are there and have heard after %v", when, time.Since(begin))
	}
	all("at first")
	c.cut()
	all("after a break")
	// The proxy dies, and has forgotten what the app has said.
	first := asked(t, log, ttl)
	if err := os.Remove(log); err != nil {
		t.Fatal(err)
	}
	caddy.Signal(syscall.SIGKILL)
	caddy.Wait(t)
	harness.StartCaddy(t, caddyfile)
	all("after a restart")
	second := asked(t, log, ttl)
	if first < users || second < users {
		t.Errorf("PHP was asked %d and %d times, which is too few for %d users", first, second, users)
	}
	t.Logf("PHP was asked %d times, and %d times after the restart", first, second)
	if len(c.refused) > 0 {
		t.Errorf("%d clients were refused for good: %.5q", len(c.refused), c.refused)
	}
}

// asked is how often the app was asked, and fails the test where it was twice for a user within the ttl.
func asked(t *testing.T, log string, ttl time.Duration) (n int) {
	t.Helper()
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	last := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		var at float64
		var user string
		if _, err := fmt.Sscan(line, &at, &user); err != nil {
			t.Fatalf("%s has the line %q: %v", log, line, err)
		}
		if before, ok := last[user]; ok && at-before < ttl.Seconds() {
			t.Errorf("PHP was asked again for %s after %.2f s", user, at-before)
		}
		last[user] = at
		n++
	}
	return n
}
