package hub_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/hub"
)

func total(d hub.Delays) (n uint64) {
	for _, c := range d.Counts {
		n += c
	}
	return n
}

// Each count is what its name says, and a gauge goes down again.
func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, settings(100, 4000))
		before := publish(t, h, user("u", "before"))
		r := subscribe(t, h, hub.Subscription{User: "u", Protocol: 2})
		r.poll()
		if s := h.Stats(); s.Open[2].Goroutine != 1 || s.Open[2].Held != 0 || s.Users != 1 || s.Catchups["new"] != 1 {
			t.Errorf("one is there: got %+v", s)
		}
		r.conn.SetHeld(true)
		if s := h.Stats(); s.Open[2].Goroutine != 0 || s.Open[2].Held != 1 {
			t.Errorf("one is held: got %+v", s.Open)
		}

		publish(t, h, user("u", "a"), user("u", "b"), user("other", "x"))
		time.Sleep(3 * time.Millisecond)
		synctest.Wait()
		if s := h.Stats(); s.Pending == 0 || s.Delivered != 0 {
			t.Errorf("two wait: got %+v", s)
		}
		wantList(t, brief(r.poll()), "a", "b")
		s := h.Stats()
		events, bytes := r.conn.Delivered()
		if s.Published != 4 || s.Delivered != 2 || s.Pending != 0 || s.Bytes == 0 || events != 2 || bytes != s.Bytes {
			t.Errorf("two were delivered: got %+v, the connection has %d, %d", s, events, bytes)
		}
		if s.Delay.Sum != 3*time.Millisecond || total(s.Delay) != 1 || s.Delay.Counts[5] != 1 { // the bound is 5 ms
			t.Errorf("got %+v", s.Delay)
		}

		price, short := user("u", "price"), user("u", "short")
		price.Coalesce, short.TTL = "price", time.Second
		publish(t, h, price, price, price, short)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		wantList(t, brief(r.poll()), "price")
		if s = h.Stats(); s.Coalesced != 2 || s.Expired != 1 || s.Delivered != 3 || s.Delay.Counts[len(hub.DelayBounds)] != 1 {
			t.Errorf("got %+v", s)
		}

		for range 20 {
			publish(t, h, user("u", "many"))
		}
		synctest.Wait()
		if n := len(r.poll()); n != 20 {
			t.Errorf("got %d events", n)
		}
		if s = h.Stats(); s.Catchups["slow"] != 1 || s.Pending != 0 || s.Delivered != 23 {
			t.Errorf("one was slow: got %+v", s)
		}

		delays := total(s.Delay)
		time.Sleep(time.Second)
		resumed := subscribe(t, h, hub.Subscription{User: "u", Protocol: 1, LastEventID: before.String()})
		if n := len(resumed.poll()); n != 24 {
			t.Errorf("got %d events", n)
		}
		strange := subscribe(t, h, hub.Subscription{User: "u", Protocol: 1, LastEventID: "x"})
		strange.poll()
		s = h.Stats()
		if s.Catchups["resume"] != 2 || s.Gaps["unknown"] != 1 || s.Open[1].Goroutine != 2 {
			t.Errorf("two resumed: got %+v", s)
		}
		if n := total(s.Delay); n != delays {
			t.Errorf("what was asked for counts as delayed: got %d more", n-delays)
		}

		publish(t, h, user("u", "left behind"))
		synctest.Wait()
		for _, r := range []*reader{r, resumed, strange} {
			r.conn.Close(nil)
		}
		if s = h.Stats(); s.Open != [4]struct{ Held, Goroutine int }{} || s.Pending != 0 || s.Users != 0 || s.HistoryEvents != 29 || s.HistoryBytes == 0 {
			t.Errorf("all have left: got %+v", s)
		}
		if s.Draining {
			t.Error("the hub is said to be draining")
		}
		h.Drain(time.Second)
		if s = h.Stats(); !s.Draining {
			t.Error("the hub is not said to be draining")
		}
	})
}
