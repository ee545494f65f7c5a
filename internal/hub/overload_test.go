package hub_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// If the hub cannot take events to connections as fast as they come, the lag is bounded: publishers wait, and are refused after
// a while. Nothing that was acknowledged is lost.
func TestOverload(t *testing.T) {
	many := []broker.Target{{Kind: broker.User, Name: "u"}} // more than are written to on the publisher's own time
	for i := range 20 {
		many = append(many, broker.Target{Kind: broker.User, Name: "u" + strconv.Itoa(i)})
	}
	for name, targets := range map[string][]broker.Target{
		"broadcasts": {{Kind: broker.Broadcast}},
		"to users":   many,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testOverload(t, targets) })
		})
	}
}

func testOverload(t *testing.T, targets []broker.Target) {
	s := settings(1000, 1<<30)
	s.History.Bytes = 1 << 30
	h := newHub(t, s)
	other := subscribe(t, h, hub.Subscription{User: "u"})
	other.poll()
	stuck := subscribe(t, h, hub.Subscription{User: "u"})
	stuck.poll()
	release := make(chan struct{})
	stuck.conn.OnWake(wakes(func(bool) { <-release })) // simulates a machine that is too slow

	data := make([]byte, 1_000_000)
	stored := 0
	for err := error(nil); ; stored++ {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		begin := time.Now()
		err = h.Publish(ctx, []broker.Record{{Targets: targets, Data: data}})[0].Err
		cancel()
		if err != nil {
			if !errors.Is(err, broker.ErrOverloaded) || time.Since(begin) != 2*time.Second {
				t.Errorf("got %v after %s", err, time.Since(begin))
			}
			break
		}
		if stored > 200 {
			t.Fatal("nothing bounds the lag")
		}
	}
	if lag := h.Lag(); stored > 2 && targets[0].Kind == broker.Broadcast && lag < 30<<20 {
		t.Errorf("the lag is said to be %d bytes", lag)
	}
	if err := h.Health(); err != nil {
		t.Errorf("got %v: the hub lags, but does its work", err)
	}
	close(release)
	synctest.Wait()
	for _, r := range []*reader{other, stuck} {
		got := 0
		for frames, _ := r.conn.Next(nil, 1); len(frames) > 0; frames, _ = r.conn.Next(nil, 1) {
			got += len(frames)
		}
		if got != stored {
			t.Errorf("got %d events, want %d", got, stored)
		}
	}
	if lag := h.Lag(); lag != 0 {
		t.Errorf("a lag of %d bytes is left", lag)
	}
}

// A publisher never waits for clients, however much waits for them.
func TestSlowClientsAreNoOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := settings(1000, 64<<10)
		s.History.Bytes = 4 << 20
		h := newHub(t, s)
		for range 10 {
			subscribe(t, h, hub.Subscription{User: "u"}).poll()
		}
		begin, data := time.Now(), make([]byte, 1_000_000)
		for range 200 {
			publish(t, h, broker.Record{Targets: []broker.Target{{Kind: broker.Broadcast}}, Data: data})
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("publishers waited %s", took)
		}
	})
}
