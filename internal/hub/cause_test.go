package hub_test

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// closingFrame is a sse:closing: its retry, and its reason.
var closingFrame = regexp.MustCompile(`event: sse:closing\nretry: (\d{4,5})\ndata: {"reason":"([a-z]+)"}\n\n`)

// rest takes what a connection that ends has to write.
func rest(t *testing.T, c *hub.Conn) (text string) {
	t.Helper()
	for range 100 {
		frames, err := c.Next(nil, 2048)
		text += string(slices.Concat(frames...))
		if errors.Is(err, io.EOF) {
			if frames, err = c.Next(nil, 2048); len(frames) > 0 || !errors.Is(err, io.EOF) {
				t.Errorf("after the end: %q, %v", frames, err)
			}
			return text
		}
	}
	t.Fatal("the stream does not end")
	return ""
}

// However the hub ends a stream, the last that the client hears is why, and when to come back.
func TestEveryEndIsNamed(t *testing.T) {
	end := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	for reason, ends := range map[string]map[string]func(h *hub.Hub, c *hub.Conn){
		"draining": {
			"drain": func(h *hub.Hub, c *hub.Conn) { go h.Drain(0) },
			"close": func(h *hub.Hub, c *hub.Conn) { end(h.Close()) },
		},
		"disconnected": {
			"connection": func(h *hub.Hub, c *hub.Conn) { _, err := h.Disconnect(t.Context(), c.ID); end(err) },
			"user":       func(h *hub.Hub, c *hub.Conn) { end(h.DisconnectUser(t.Context(), "u")) },
			"topic":      func(h *hub.Hub, c *hub.Conn) { end(h.DisconnectTopic(t.Context(), "room")) },
		},
		"denied":   {"deny": func(h *hub.Hub, c *hub.Conn) { end(h.Deny(t.Context(), "u", time.Minute)) }},
		"expired":  {"expiry": func(h *hub.Hub, c *hub.Conn) { c.End(hub.GrantEnded, hub.Spread(1)) }},
		"reloaded": {"reload": func(h *hub.Hub, c *hub.Conn) { hub.Release([]*hub.Conn{c}, hub.Reloaded, time.Minute) }},
	} {
		for name, act := range ends {
			t.Run(name, func(t *testing.T) {
				h := newHub(t, settings(100, 1<<20))
				r := subscribe(t, h, hub.Subscription{User: "u", Topics: []string{"room"}})
				defer r.conn.Close(nil)
				for act(h, r.conn); !r.conn.Ended(); {
					<-r.wake
				}
				text := rest(t, r.conn)
				m := closingFrame.FindStringSubmatch(text)
				if m == nil || m[2] != reason || !strings.HasPrefix(text, "event: sse:connected\n") || !strings.HasSuffix(text, m[0]) {
					t.Errorf("got %q", text)
				}
			})
		}
	}
}

// What waits for the client, and may still be written, comes before the end, whatever its size.
func TestTheEndComesLast(t *testing.T) {
	h := companion(newHub(t, settings(100, 1<<20)), "beside")
	at := publish(t, h, topic("x", "1"))
	for _, size := range []int{1, 1 << 10, 1 << 20} {
		opening := &hub.Opening{Frames: replayed(at, strings.Repeat("o", size)), After: at}
		c := subscribe(t, h, hub.Subscription{Topics: []string{"x"}, Opening: opening}).conn
		c.Push([]byte("event: sse:test\ndata: 1\n\n"))
		c.End(hub.SourceEnded, 0)
		text := rest(t, c)
		names := regexp.MustCompile(`(?m)^event: \S+|^data: oo?`).FindAllString(text, -1)
		wantList(t, names, "event: sse:connected", "event: sse:test", "data: o"+strings.Repeat("o", min(size-1, 1)), "event: sse:closing")
		c.Close(nil)
	}
}

// Clients whose streams are ended by one record come back at different times, the later the more they are.
func TestManyAreDisconnected(t *testing.T) {
	h := newHub(t, settings(100, 1<<20))
	const clients = 1000
	var conns []*hub.Conn
	for range clients {
		conns = append(conns, subscribe(t, h, hub.Subscription{Topics: []string{"room"}}).conn)
	}
	if err := h.DisconnectTopic(t.Context(), "room"); err != nil {
		t.Fatal(err)
	}
	seconds := map[int]int{}
	for _, c := range conns {
		var ms int
		if m := closingFrame.FindStringSubmatch(rest(t, c)); m != nil {
			_, _ = fmt.Sscan(m[1], &ms)
		}
		seconds[ms/1000]++
		c.Close(nil)
	}
	if len(seconds) < 3 || seconds[0] > 0 || seconds[1] > clients*2/3 {
		t.Errorf("they come back after so many seconds: %v", seconds)
	}
}

// A client of another protocol knows no such event: it gets the time, if any, and no more.
func TestTheEndOfAMatchedStream(t *testing.T) {
	for want, act := range map[string]func(h *hub.Hub, c *hub.Conn){
		`^retry: \d{4}\n\n$`: func(_ *hub.Hub, c *hub.Conn) { c.End(hub.Draining, 0) },
		`^$`:                 func(h *hub.Hub, c *hub.Conn) { _, _ = h.Disconnect(t.Context(), c.ID) },
	} {
		h := newHub(t, settings(100, 1<<20))
		c := subscribe(t, h, hub.Subscription{Matchers: &hub.Matchers{Names: []string{"t"}}}).conn
		_, _ = c.Next(nil, 1<<20)
		act(h, c)
		if text := rest(t, c); !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("got %q, want %s", text, want)
		}
		c.Close(nil)
	}
}
