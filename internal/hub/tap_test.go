package hub_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

func dataOf(events []hub.Tapped) (list []string) {
	for _, e := range events {
		list = append(list, string(e.Data))
	}
	return list
}

// A tap sees every event that its filter chooses, whichever connections hear it.
func TestTap(t *testing.T) {
	h := newHub(t, settings(100, 1<<20))
	publish(t, h, user("u", "before"))
	taps := map[string]*hub.Tap{}
	for name, f := range map[string]hub.TapFilter{
		"all": {}, "type": {Type: "order"}, "plain": {Type: "message"}, "user": {User: "u"}, "topic": {Topic: "a/b"},
		"pattern": {Topic: "a/*"}, "text": {Text: "ee"}, "both": {User: "u", Topic: "a/b"},
	} {
		taps[name] = h.Tap(f)
	}
	order := user("u", "one")
	order.Type = "order"
	both := topic("a/b", "three")
	both.Targets = append(both.Targets, broker.Target{Kind: broker.User, Name: "u"})
	publish(t, h, order, topic("a/c", "two"), both, user("a/b", "four"))
	if err := h.DisconnectUser(t.Context(), "u"); err != nil { // this is no event
		t.Fatal(err)
	}
	publish(t, h, broker.Record{Targets: []broker.Target{{Kind: broker.Broadcast}}, Data: []byte("five")})
	for name, want := range map[string][]string{
		"all": {"one", "two", "three", "four", "five"}, "type": {"one"}, "plain": {"two", "three", "four", "five"}, "user": {"one", "three"},
		"topic": {"three"}, "pattern": {"two", "three"}, "text": {"three"}, "both": {"three"},
	} {
		<-taps[name].C
		events, missed := taps[name].Take()
		wantList(t, dataOf(events), want...)
		if missed != 0 {
			t.Errorf("%s has missed %d", name, missed)
		}
		taps[name].Close()
	}
	publish(t, h, user("u", "after"))
	if events, _ := taps["all"].Take(); len(events) > 0 {
		t.Errorf("a closed tap has %q", dataOf(events))
	}
}

// A tap that is not read delays nothing: what is too much for it is counted, and what is too long is cut.
func TestTapIsBounded(t *testing.T) {
	h := newHub(t, settings(10, 1<<20))
	tap, other := h.Tap(hub.TapFilter{}), h.Tap(hub.TapFilter{Text: "beyond"})
	defer tap.Close()
	defer other.Close()
	long := user("u", strings.Repeat("x", 4<<10)+"beyond")
	for i := range 100 {
		long.Targets = append(long.Targets, broker.Target{Kind: broker.Topic, Name: strings.Repeat("t", i+1)})
	}
	for range 1_000 {
		publish(t, h, long)
	}
	events, missed := tap.Take()
	if len(events) == 0 || len(events) >= 1_000 || missed != uint64(1_000-len(events)) {
		t.Fatalf("got %d events, %d missed", len(events), missed)
	}
	e := events[0]
	if len(e.Data) != 2<<10 || e.Size != 4<<10+6 || len(e.Targets)+e.More != 101 || len(e.Targets) > 10 {
		t.Errorf("got %d bytes of %d, %d targets and %d more", len(e.Data), e.Size, len(e.Targets), e.More)
	}
	if events, missed := other.Take(); len(events) > 0 || missed > 0 {
		t.Errorf("what is not shown is found: %d, %d", len(events), missed)
	}
	publish(t, h, user("u", "again"))
	events, missed = tap.Take()
	wantList(t, dataOf(events), "again")
	if missed != 0 {
		t.Errorf("missed %d once more", missed)
	}
}

// The slowest come first, and connections that have everything do not come at all.
func TestSlowest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, settings(100, 4_000))
		for range 2_500 { // more than are looked at under one lock
			subscribe(t, h, hub.Subscription{}).poll()
		}
		var slow []*reader
		for _, name := range []string{"first", "second", "third", "none"} {
			r := subscribe(t, h, hub.Subscription{User: name})
			r.poll()
			slow = append(slow, r)
		}
		for _, name := range []string{"first", "second", "third"} {
			publish(t, h, user(name, "x"))
			time.Sleep(time.Second)
			synctest.Wait()
		}
		for range 50 { // more than its budget
			publish(t, h, user("third", strings.Repeat("x", 100)))
		}
		synctest.Wait()
		list := h.Slowest(10)
		if len(list) != 3 {
			t.Fatalf("got %+v", list)
		}
		for i, want := range []struct {
			user string
			hub.Behind
		}{
			{"first", hub.Behind{Events: 1, Delay: 3 * time.Second}},
			{"second", hub.Behind{Events: 1, Delay: 2 * time.Second}},
			{"third", hub.Behind{Events: 51, Delay: time.Second, CatchingUp: true}},
		} {
			got := list[i]
			if got.Connection.User != want.user || got.Connection.ID != slow[i].conn.ID || got.Events != want.Events ||
				got.Delay != want.Delay || got.CatchingUp != want.CatchingUp || (got.Pending > 0) == got.CatchingUp {
				t.Errorf("got %+v, want %+v", got, want)
			}
		}
		if two := h.Slowest(2); len(two) != 2 || two[1].Connection.User != "second" {
			t.Errorf("got %+v", two)
		}
		for _, r := range slow {
			r.poll()
		}
		if list := h.Slowest(10); len(list) > 0 {
			t.Errorf("all have all: %+v", list)
		}
	})
}

// What has been published is taken when every connection has it to write, even if few read.
func TestTaken(t *testing.T) {
	h := newHub(t, settings(100, 1<<20))
	var readers []*reader
	for range 10 {
		r := subscribe(t, h, hub.Subscription{})
		r.poll()
		readers = append(readers, r)
	}
	for range 50 {
		p := publish(t, h, broker.Record{Targets: []broker.Target{{Kind: broker.Broadcast}}, Data: []byte("x")})
		if err := h.Taken(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		for _, r := range readers {
			if n := r.conn.Waiting(); n != 1 {
				t.Fatalf("%d events wait, want 1", n)
			}
			r.poll()
		}
	}
	future := publish(t, h, user("u", "x"))
	future.Minor += 1_000
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Taken(ctx, future); err == nil {
		t.Error("what has not come is taken")
	}
}
