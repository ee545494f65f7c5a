package pool

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/broker/membroker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// newTestHub returns a hub with the default settings.
func newTestHub() *Hub {
	return newHub(membroker.Open(), membroker.Module{}, &config{settings: Settings{Hub: "test"}, log: zap.NewNop()})
}

// within runs a test with a hub, in a time of its own.
func within(t *testing.T, test func(t *testing.T, p *Hub)) {
	synctest.Test(t, func(t *testing.T) {
		p := newTestHub()
		defer p.Close()
		test(t, p)
	})
}

func subscribeTo(t *testing.T, p *Hub) *hub.Conn {
	t.Helper()
	c, err := p.Subscribe(t.Context(), hub.Subscription{User: "u1"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// written returns what a connection has to write, and whether it has ended.
func written(t *testing.T, c *hub.Conn) (text string, ended bool) {
	t.Helper()
	frames, err := c.Next(nil, 1<<20)
	if err != nil && err != io.EOF {
		t.Fatal(err)
	}
	for _, f := range frames {
		text += string(f)
	}
	return text, err == io.EOF
}

func TestExpiry(t *testing.T) {
	for life, least := range map[time.Duration]time.Duration{time.Hour: maxNotice, time.Minute: 6 * time.Second, 500 * time.Millisecond: 50 * time.Millisecond} {
		within(t, func(t *testing.T, p *Hub) {
			var e expiry
			c := subscribeTo(t, p)
			e.add(c, time.Now().Add(life))
			written(t, c)
			time.Sleep(life - least*3/2 - time.Millisecond)
			synctest.Wait()
			if text, ended := written(t, c); text != "" || ended {
				t.Errorf("%s: too early, got %q", life, text)
			}
			time.Sleep(least/2 + time.Millisecond)
			synctest.Wait()
			text, ended := written(t, c)
			var left int64
			if _, err := fmt.Sscanf(text, "event: sse:expiring\ndata: {\"in\":%d}\n\n", &left); err != nil || ended {
				t.Errorf("%s: got %q, %v", life, text, ended)
			}
			if d := time.Duration(left) * time.Millisecond; d < least-time.Millisecond || d > least*3/2 {
				t.Errorf("%s: told %s before", life, d)
			}
			time.Sleep(least - time.Millisecond)
			synctest.Wait()
			if text, ended := written(t, c); text != "" || ended {
				t.Errorf("%s: ended early: %q", life, text)
			}
			time.Sleep(time.Millisecond)
			synctest.Wait()
			if text, ended := written(t, c); !ended || !strings.HasPrefix(text, "event: sse:closing\nretry: ") || !strings.Contains(text, "\ndata: {\"reason\":\"expired\"}\n\n") {
				t.Errorf("%s: at the end, got %q, %v", life, text, ended)
			}
			c.Close(nil)
			if len(e.queue) != 0 || e.timer != nil {
				t.Errorf("%s: something is left over", life)
			}
		})
	}
}

// A grant may have ended while its stream was being set up.
func TestExpiryInThePast(t *testing.T) {
	within(t, func(t *testing.T, p *Hub) {
		var e expiry
		c := subscribeTo(t, p)
		e.add(c, time.Now().Add(-time.Minute))
		synctest.Wait()
		if !c.Ended() {
			t.Error("the stream lives")
		}
		c.Close(nil)
	})
}

// Streams end in the order of their grants, whatever order they began in. A stream that ends earlier is forgotten.
func TestExpiryOfMany(t *testing.T) {
	within(t, func(t *testing.T, p *Hub) {
		var e expiry
		const n = 20
		conns, deadlines := make([]*hub.Conn, n), make([]*deadline, n)
		for i := range conns {
			conns[i] = subscribeTo(t, p)
			deadlines[i] = e.add(conns[i], time.Now().Add(time.Duration(1+(i*7)%n)*time.Minute))
		}
		for i := 0; i < n; i += 2 {
			e.remove(deadlines[i])
			e.remove(deadlines[i])
		}
		e.remove(nil)
		time.Sleep(30 * time.Second)
		for minute := 1; minute <= n; minute++ {
			time.Sleep(time.Minute)
			synctest.Wait()
			for i, c := range conns {
				if want := i%2 == 1 && 1+(i*7)%n <= minute; c.Ended() != want {
					t.Errorf("minute %d, stream %d: ended is %v", minute, i, c.Ended())
				}
			}
		}
		if e.timer != nil {
			t.Error("the timer goes on")
		}
		for _, c := range conns {
			c.Close(nil)
		}
	})
}
