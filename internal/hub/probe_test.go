package hub_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

// beats takes what a connection has to write, and counts the heartbeats.
func beats(t *testing.T, c *hub.Conn) (n int) {
	t.Helper()
	for {
		frames, err := c.Next(nil, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if len(frames) == 0 {
			return n
		}
		for _, f := range frames {
			n += strings.Count("\n"+string(f), "\n"+sse.Heartbeat)
		}
	}
}

// A new client at the limit causes two writes to each of its user's streams, but not again for every attempt.
func TestCrowdedUserIsProbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := settings(100, 1<<20)
		s.Limits.PerUser = 1
		h := newHub(t, s)
		defer h.Close()
		first, err := h.Subscribe(t.Context(), hub.Subscription{User: "u1"})
		if err != nil {
			t.Fatal(err)
		}
		other, err := h.Subscribe(t.Context(), hub.Subscription{User: "u2"})
		if err != nil {
			t.Fatal(err)
		}
		beats(t, first)
		beats(t, other)

		refused := func() {
			_, err := h.Subscribe(t.Context(), hub.Subscription{User: "u1"})
			var r *hub.Refusal
			if !errors.As(err, &r) || r.Reason != "per_user" || r.Again != time.Second || r.Latest != 2*time.Second {
				t.Fatalf("got %+v", err)
			}
		}
		refused()
		if n := beats(t, first); n != 1 {
			t.Errorf("%d heartbeats at once, want 1", n)
		}
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		if n := beats(t, first); n != 1 {
			t.Errorf("%d heartbeats after 200ms, want 1", n)
		}
		time.Sleep(time.Second)

		n := 0
		const seconds = 5
		for range seconds * 100 {
			refused()
			n += beats(t, first)
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
		}
		if n < 2*seconds-2 || n > 2*seconds+2 {
			t.Errorf("%d heartbeats in %d seconds", n, seconds)
		}
		if n := beats(t, other); n != 0 {
			t.Errorf("%d heartbeats for another user", n)
		}
		time.Sleep(2 * time.Second)
		first.Close(nil)
		other.Close(nil)
	})
}

// Heartbeats do not pile up for a stream whose client takes nothing.
func TestProbesDoNotGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, settings(100, 1<<20))
		defer h.Close()
		c, err := h.Subscribe(t.Context(), hub.Subscription{User: "u1"})
		if err != nil {
			t.Fatal(err)
		}
		beats(t, c)
		for range 100 {
			h.Crowded("per_user", "u1")
			time.Sleep(2 * time.Second)
		}
		if n := beats(t, c); n != 1 {
			t.Errorf("%d heartbeats wait", n)
		}
		c.Close(nil)
	})
}
