package clients_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

const (
	// startup is how long a library may take to begin, with the program or browser that it runs in.
	startup = 4 * harness.Patience
	// patience is how long a library may take for what it will do in the end.
	patience = 20 * time.Second
	// silence is how long a stream is silent.
	silence = 8 * time.Second
	// lines and lineSize are those of the large event.
	lines, lineSize = 10, 100_000
)

// hub is where the clients of one scenario go.
type hub struct {
	harness.Route
	address, path string
}

// client is a library at work.
type client struct {
	t    testing.TB
	line *line
	stop context.CancelFunc

	mu     sync.Mutex // guards what follows
	heard  []event
	change chan struct{} // closed when something is heard
	over   chan struct{} // closed when the library has given up
}

// begin has a library open a stream.
func (l *library) begin(t testing.TB, h hub, user string) *client {
	ctx, stop := context.WithCancel(context.Background())
	c := &client{t: t, line: newLine(t, h), stop: stop, change: make(chan struct{}), over: make(chan struct{})}
	go func() {
		defer close(c.over)
		if err := l.open(ctx, t, "http://"+c.line.address+h.path+"?user="+user, func(e event) {
			if ctx.Err() == nil {
				c.take(e)
			}
		}); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(c.end)
	return c
}

// end stops the library.
func (c *client) end() {
	c.stop()
	c.line.cut()
	<-c.over
}

func (c *client) take(e event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.Type == "" {
		e.Type = "message"
	}
	if e.Size == 0 && e.Data == "" {
		c.t.Errorf("it was given an empty event %q", e.Type)
	}
	c.heard = append(c.heard, e)
	close(c.change)
	c.change = make(chan struct{})
}

// hears waits for an event, and returns how often it was heard; 0 if it does not come within a time, or the library gives up.
func (c *client) hears(within time.Duration, is func(event) bool) (n int) {
	late := time.After(within)
	for given := false; ; {
		c.mu.Lock()
		for _, e := range c.heard {
			if is(e) {
				n++
			}
		}
		change := c.change
		c.mu.Unlock()
		if n > 0 || given {
			return n
		}
		select {
		case <-change:
		case <-c.over: // it has given all that it heard
			given = true
		case <-late:
			return 0
		}
	}
}

func data(text string) func(event) bool { return func(e event) bool { return e.Data == text } }

func named(name string) func(event) bool { return func(e event) bool { return e.Type == name } }

// scenarios are the columns of the table.
var scenarios = []struct {
	name string
	run  func(t testing.TB, l *library, hubs hubs, user string) string
}{
	{"after an end", func(t testing.TB, l *library, hubs hubs, user string) string {
		return drop(t, l, hubs.usual, user, func(c *client) {
			if status := hubs.usual.Call(t, http.MethodDelete, "/users/"+user, nil, nil); status != http.StatusNoContent {
				t.Errorf("DELETE: %d", status)
			}
		})
	}},
	{"after a reset", func(t testing.TB, l *library, hubs hubs, user string) string {
		return drop(t, l, hubs.usual, user, func(c *client) { c.line.cut() })
	}},
	{"after refused connections", func(t testing.TB, l *library, hubs hubs, user string) string {
		return drop(t, l, hubs.usual, user, func(c *client) {
			c.line.sever()
			mended := make(chan struct{})
			time.AfterFunc(2*time.Second, func() { // so long is the hub away
				defer close(mended)
				c.line.mend()
			})
			t.Cleanup(func() { <-mended })
		})
	}},
	{"`sse:rejected`", rejected},
	{"204", denied},
	{"1 MB in ten lines", large},
	{fmt.Sprintf("%d s of silence", silence/time.Second), silent},
}

// drop ends a client's stream, publishes, and tells what the client makes of it.
func drop(t testing.TB, l *library, h hub, user string, end func(*client)) string {
	c := l.begin(t, h, user)
	if c.hears(startup, named("sse:connected")) == 0 {
		return "hears nothing"
	}
	h.Publish(t, harness.Event{"user": user, "data": "before"})
	if c.hears(patience, data("before")) == 0 {
		return "hears nothing"
	}
	before := c.line.asked()
	end(c)
	h.Publish(t, harness.Event{"user": user, "data": "meanwhile"})
	switch n := c.hears(patience, data("meanwhile")); {
	case n > 1 || c.hears(0, data("before")) > 1:
		return "twice"
	case n == 1:
		return "exact"
	case c.line.asked() > before:
		return "**loses it**"
	}
	return "stops"
}

// occupy takes the only place that a user has, and returns what gives it back.
func occupy(t testing.TB, h hub, user string) (leave func()) {
	ctx, leave := context.WithCancel(context.Background())
	t.Cleanup(leave)
	r, err := request(ctx, "http://"+h.address+h.path+"?user="+user)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return leave
}

// rejected tells whether a client for which there is no room comes again.
func rejected(t testing.TB, l *library, hubs hubs, user string) string {
	h := hubs.full
	leave := occupy(t, h, user)
	c := l.begin(t, h, user)
	if c.hears(startup, named("sse:rejected")) == 0 {
		return "hears nothing"
	}
	leave()
	if c.hears(patience, named("sse:connected")) == 0 {
		return "stops"
	}
	return "comes back"
}

// denied tells whether a client that is answered by 204 comes again.
func denied(t testing.TB, l *library, hubs hubs, user string) string {
	h := hubs.usual
	if status := h.Call(t, http.MethodDelete, "/users/"+user+"?deny=1h", nil, nil); status != http.StatusNoContent {
		t.Errorf("DELETE: %d", status)
	}
	c := l.begin(t, h, user)
	if !c.asks(startup, 1) {
		return "hears nothing"
	}
	if !c.asks(patience, 2) {
		return "stops"
	}
	return "goes on"
}

// asks waits for the nth request for a stream, and reports whether it comes within a time, before the library gives up.
func (c *client) asks(within time.Duration, n int) bool {
	for late := time.After(within); c.line.asked() < n; {
		select {
		case <-c.over:
			return c.line.asked() >= n
		case <-late:
			return false
		case <-time.After(50 * time.Millisecond):
		}
	}
	return true
}

// large tells whether a client hears a large event.
func large(t testing.TB, l *library, hubs hubs, user string) string {
	h := hubs.usual
	c := l.begin(t, h, user)
	if c.hears(startup, named("sse:connected")) == 0 {
		return "hears nothing"
	}
	text := strings.TrimSuffix(strings.Repeat(strings.Repeat("x", lineSize)+"\n", lines), "\n")
	h.Publish(t, harness.Event{"user": user, "data": text})
	if c.hears(patience, func(e event) bool { return e.Size == len(text) }) == 0 {
		return "**no**"
	}
	return "yes"
}

// silent tells whether a client bears with a stream that is silent.
func silent(t testing.TB, l *library, hubs hubs, user string) string {
	h := hubs.silent
	c := l.begin(t, h, user)
	if c.hears(startup, named("sse:connected")) == 0 {
		return "hears nothing"
	}
	before := c.line.asked()
	select {
	case <-c.over:
		return "ends"
	case <-time.After(silence):
	}
	again := c.line.asked() > before
	h.Publish(t, harness.Event{"user": user, "data": "at last"})
	switch {
	case c.hears(patience, data("at last")) == 0:
		return "ends"
	case again:
		return "cuts it, comes back"
	}
	return "stays"
}
