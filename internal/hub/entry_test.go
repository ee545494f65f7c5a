package hub_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

func TestTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, settings(100, 1<<20))
		r := subscribe(t, h, hub.Subscription{User: "u"})
		wantList(t, brief(r.poll()), "connected")
		short := user("u", "short")
		short.TTL = time.Second
		start := publish(t, h, user("other", "x"))
		publish(t, h, short, user("u", "long"))
		synctest.Wait()
		time.Sleep(time.Second)
		wantList(t, brief(r.poll()), "long")
		r = subscribe(t, h, hub.Subscription{User: "u", LastEventID: start.String()})
		wantList(t, brief(r.poll()), "connected", "long")
		publish(t, h, short)
		synctest.Wait()
		wantList(t, brief(r.poll()), "short")
	})
}

func TestCoalesce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, settings(100, 1<<20))
		start := publish(t, h, user("other", "x"))
		r := subscribe(t, h, hub.Subscription{User: "u", Topics: []string{"t"}})
		wantList(t, brief(r.poll()), "connected")
		price := func(r broker.Record) broker.Record { r.Coalesce = "price"; return r }
		publish(t, h, price(user("u", "1")), price(topic("t", "other targets")), price(user("u", "2")), user("u", "none"), price(user("u", "3")))
		synctest.Wait()
		wantList(t, brief(r.poll()), "other targets", "none", "3")
		r = subscribe(t, h, hub.Subscription{User: "u", Topics: []string{"t"}, LastEventID: start.String()})
		wantList(t, brief(r.poll()), "connected", "other targets", "none", "3")
	})
}

// Events that have expired, or were replaced by newer ones, leave no gap.
func TestNoGapForVoidEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, settings(3, 1<<20))
		start := publish(t, h, user("other", "x"))
		for range 10 {
			r := user("u", "price")
			r.Coalesce = "price"
			publish(t, h, r)
		}
		publish(t, h, user("u", "end"))
		r := subscribe(t, h, hub.Subscription{User: "u", LastEventID: start.String()})
		wantList(t, brief(r.poll()), "connected", "price", "end")

		short := user("v", "short")
		short.TTL = time.Second
		start = publish(t, h, short)
		publish(t, h, short)
		time.Sleep(time.Second)
		publish(t, h, user("other", "x"), user("other", "x"), user("other", "x"), user("v", "end"))
		r = subscribe(t, h, hub.Subscription{User: "v", LastEventID: start.String()})
		wantList(t, brief(r.poll()), "connected", "end")
	})
}

// A retry that an older version or another program has stored is raised to what a publish may ask for.
func TestRetryIsRaised(t *testing.T) {
	h := newHub(t, settings(100, 1<<20))
	r := subscribe(t, h, hub.Subscription{User: "u"})
	r.poll()
	for stored, want := range map[time.Duration]string{
		0: "", time.Millisecond: "retry: 500\n", 499 * time.Millisecond: "retry: 500\n", time.Second: "retry: 1000\n",
	} {
		e := user("u", "x")
		e.Retry = stored
		id := publish(t, h, e)
		<-r.wake
		frames, err := r.conn.Next(nil, 1<<20)
		if got := string(slices.Concat(frames...)); got != want+"data: x\nid: "+id.String()+"\n\n" || err != nil {
			t.Errorf("%s: got %q, %v", stored, got, err)
		}
	}
	r.conn.Close(nil)
}
