package hub_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// logged returns the records of a log.
func (e *engine) logged() (list []broker.Record) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, entry := range e.entries {
		list = append(list, entry.Record)
	}
	return list
}

// The history's age counts as much as its number of events: however quiet the log is, what was added to a living connection is
// repeated before it is too old, and not more often.
func TestAdditionsAreRepeatedByAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		s := settings(1000, 1<<20)
		s.History.Age = time.Hour
		h, _ := e.hub(t, s)
		sub := hub.Subscription{User: "u", ID: "the-same-client"}
		r := subscribe(t, h, sub)
		r.poll()
		there, err := h.Join(t.Context(), connTarget(sub.ID), []string{"room"})
		mustSteer(t, there, err)
		time.Sleep(10 * time.Hour)
		synctest.Wait()
		n, newest := 0, time.Time{}
		for _, record := range e.logged() {
			if !record.Since.IsZero() {
				n, newest = n+1, record.Time
			}
		}
		if n < 10 || n > 20 || time.Since(newest) > 45*time.Minute {
			t.Errorf("repeated %d times in ten hours, the last time %s ago", n, time.Since(newest))
		}
		r.conn.Close(nil)
		publish(t, h, topic("room", "1"))
		h2, _ := e.hub(t, s)
		sub.LastEventID = broker.Position{Epoch: e.epoch, Minor: 1}.String()
		got, _ := visit(t, h2, sub, nil)
		wantList(t, got, "connected", "1")
	})
}

// What was added to living connections is repeated before the history loses it, and few records do so for many.
func TestAdditionsAreRepeated(t *testing.T) {
	e := newEngine()
	h, _ := e.hub(t, settings(400, 1<<20))
	var subs []hub.Subscription
	var readers []*reader
	for i := range 30 {
		subs = append(subs, hub.Subscription{User: "u", ID: fmt.Sprint("client-number-", i)})
		readers = append(readers, subscribe(t, h, subs[i]))
		readers[i].poll()
	}
	_, err := h.Join(t.Context(), userU, []string{"room"})
	mustSteer(t, true, err)
	repeated := func() (n, last int) {
		for i, r := range e.logged() {
			if !r.Since.IsZero() {
				n, last = n+1, i
			}
		}
		return n, last
	}
	for range 40 {
		publish(t, h, slices.Repeat([]broker.Record{user("other", "x")}, 40)...)
		deadline := time.Now().Add(30 * time.Second)
		for _, last := repeated(); len(e.logged())-last > 220; _, last = repeated() {
			if time.Now().After(deadline) {
				t.Fatal("nothing repeats what was added")
			}
			time.Sleep(time.Millisecond)
		}
	}
	n, _ := repeated()
	if n > len(e.logged())/10 {
		t.Errorf("%d of %d records repeat what was added", n, len(e.logged()))
	}
	h2, _ := e.hub(t, settings(400, 1<<20))
	for i, r := range readers {
		publish(t, h, conn(r.conn.ID, "here"))
		m := r.next()
		for m.Data != "here" {
			m = r.next()
		}
		r.conn.Close(nil)
		publish(t, h, topic("room", fmt.Sprint(i)))
		e.hear(t, h2)
		subs[i].LastEventID = m.ID
		got, _ := visit(t, h2, subs[i], nil)
		wantList(t, got, "connected", fmt.Sprint(i))
	}
}

// If more was added than may be repeated, each client gets its topics again, or a gap.
func TestMoreAdditionsThanAreRepeated(t *testing.T) {
	e := newEngine()
	h, _ := e.hub(t, settings(1000, 1<<20))
	var subs []hub.Subscription
	var readers []*reader
	for i := range 150 {
		subs = append(subs, hub.Subscription{User: "u", ID: fmt.Sprint("client-number-", i)})
		readers = append(readers, subscribe(t, h, subs[i]))
		readers[i].poll()
		there, err := h.Join(t.Context(), connTarget(subs[i].ID), []string{fmt.Sprint("room/", i)})
		mustSteer(t, there, err)
	}
	marks := func() int {
		return len(slices.DeleteFunc(e.logged(), func(r broker.Record) bool { return !r.Partial }))
	}
	deadline := time.Now().Add(30 * time.Second)
	for i := 0; i < 100 || marks() < 3; i++ {
		publish(t, h, slices.Repeat([]broker.Record{user("other", "x")}, 20)...)
		time.Sleep(2 * time.Millisecond)
		if time.Now().After(deadline) {
			t.Fatalf("%d records say that there are more", marks())
		}
	}
	h2, _ := e.hub(t, settings(1000, 1<<20))
	for i, r := range readers {
		publish(t, h, conn(r.conn.ID, "here"))
		m := r.next()
		for m.Data != "here" {
			m = r.next()
		}
		r.conn.Close(nil)
		name := fmt.Sprint("room/", i)
		publish(t, h, topic(name, name))
		e.hear(t, h2)
		subs[i].LastEventID = m.ID
		if got, _ := visit(t, h2, subs[i], nil); !slices.Contains(got, name) && !slices.Contains(got, "gap") {
			t.Errorf("client %d lost its topic without a word: %q", i, got)
		}
	}
	n := 0
	for _, r := range e.logged() {
		if !r.Since.IsZero() {
			n++
		}
	}
	if all := len(e.logged()); n > all/4 {
		t.Errorf("%d of %d records repeat what was added", n, all)
	}
}

// A node that began in the middle of the log cannot know what was added to a client that was away for longer than the history,
// and sends a gap. Of others it knows.
func TestAdditionsBeforeTheNode(t *testing.T) {
	e := newEngine()
	h, _ := e.hub(t, settings(40, 1<<20))
	sub := hub.Subscription{User: "u", ID: "the-same-client"}
	_, first := visit(t, h, sub, nil)
	for range 40 {
		publish(t, h, user("other", "x"))
	}
	_, second := visit(t, h, sub, nil)
	for range 35 {
		publish(t, h, user("other", "x"))
	}
	for last, want := range map[string][]string{first: {"connected", "gap"}, second: {"connected"}} {
		h2, _ := e.hub(t, settings(40, 1<<20))
		sub.LastEventID = last
		r := subscribe(t, h2, sub)
		wantList(t, slices.DeleteFunc(brief(r.catchUp(h2)), func(s string) bool { return s == "end" }), want...)
		r.conn.Close(nil)
		r = subscribe(t, h2, hub.Subscription{User: "v", LastEventID: last}) // a client without an id of its own has none
		wantList(t, brief(r.catchUp(h2)), "connected")
		r.conn.Close(nil)
	}
}
