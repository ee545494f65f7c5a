package hub_test

import (
	"bytes"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// An event to few users is with their writers when Publish returns: they are woken on the publisher's goroutine, without a lock.
// An event to many is not.
func TestFewAreWokenNow(t *testing.T) { synctest.Test(t, testFewAreWokenNow) }

func testFewAreWokenNow(t *testing.T) {
	h := newHub(t, settings(100, 1<<20))
	c, err := h.Subscribe(t.Context(), hub.Subscription{User: "u"})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = c.Next(nil, 1<<20)
	var got [][]byte
	later := make(chan struct{}, 1)
	c.OnWake(wakes(func(now bool) {
		if !now {
			later <- struct{}{}
			return
		}
		got, _ = c.Next(got, 1<<20)
	}))
	synctest.Wait() // the broker has begun
	h.Publish(t.Context(), []broker.Record{user("u", "one")})
	if len(got) != 1 || !bytes.Contains(got[0], []byte("one")) {
		t.Errorf("got %q", got)
	}
	publish(t, h, broker.Record{Targets: []broker.Target{{Kind: broker.Broadcast}}})
	<-later
	if len(got) != 1 {
		t.Errorf("got %q", got)
	}
}

// However many connections a user has, only few are written to while the publisher waits.
func TestManyOfOneUser(t *testing.T) { synctest.Test(t, testManyOfOneUser) }

func testManyOfOneUser(t *testing.T) {
	h := newHub(t, settings(100, 1<<20))
	var now, later atomic.Int32
	const all = 1000
	for range all {
		c, err := h.Subscribe(t.Context(), hub.Subscription{User: "u"})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Next(nil, 1<<20)
		c.OnWake(wakes(func(n bool) {
			if n {
				now.Add(1)
			} else {
				later.Add(1)
			}
		}))
	}
	synctest.Wait()
	h.Publish(t.Context(), []broker.Record{user("u", "x")})
	synctest.Wait()
	if n := now.Load(); n == 0 || n > all/10 || n+later.Load() != all {
		t.Errorf("%d were woken now and %d later", n, later.Load())
	}
}
