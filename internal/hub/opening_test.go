package hub_test

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

// replayed returns a frame as an Opening has it.
func replayed(p broker.Position, data string) []byte {
	return sse.Event{ID: p.String(), Data: []byte(data)}.Append(nil)
}

// ids returns the ids of events, "-" for none.
func ids(events []sse.Message) (list []string) {
	for _, m := range events {
		if m.ID == "" {
			m.ID = "-"
		}
		list = append(list, m.ID)
	}
	return list
}

// withReasons returns brief, with the reasons of gaps.
func withReasons(t *testing.T, events []sse.Message) []string {
	t.Helper()
	list := brief(events)
	for i, m := range events {
		var gap struct{ Reason string }
		if m.Type == "sse:gap" {
			if err := json.Unmarshal([]byte(m.Data), &gap); err != nil {
				t.Fatal(err)
			}
			list[i] += " " + gap.Reason
		}
	}
	return list
}

// A new client gets the Opening, and then what follows it. One that comes back goes on from its own id if that is one of its
// topic's. Otherwise it gets a gap, and the Opening after that.
func TestOpening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		beside := companion(newHub(t, settings(100, 1<<20)), "beside")
		open := func(id string, o hub.Opening) *reader {
			return subscribe(t, beside, hub.Subscription{Topics: []string{"x"}, LastEventID: id, Opening: &o})
		}
		early := open("", hub.Opening{}) // before the first event
		first := publish(t, beside, topic("x", "1"))
		other := publish(t, beside, topic("y", "secret"))
		last := publish(t, beside, topic("x", "2"))
		now := hub.Opening{Frames: append(replayed(first, "was 1"), replayed(last, "was 2")...), After: last}
		cases := []struct {
			id   string
			want []string
			ids  []string // those of the first ones
		}{
			{"", []string{"connected", "was 1", "was 2", "3"}, []string{"-", first.String(), last.String()}},
			{first.String(), []string{"connected", "2", "3"}, []string{first.String(), last.String()}},
			{last.String() + "~own", []string{"connected", "3"}, []string{last.String()}},
			{other.String(), []string{"connected", "gap upstream", "was 1", "was 2", "3"}, []string{"-", last.String(), first.String()}},
			{"abc.1", []string{"connected", "gap unknown", "was 1", "was 2", "3"}, []string{"-", last.String(), first.String()}},
			{"garbage", []string{"connected", "gap unknown", "was 1", "was 2", "3"}, []string{"-", last.String(), first.String()}},
		}
		var readers []*reader
		for _, c := range cases {
			readers = append(readers, open(c.id, now))
		}
		without := open("", hub.Opening{After: last})
		publish(t, beside, topic("x", "3"))
		synctest.Wait()
		wantList(t, brief(early.poll()), "connected", "1", "2", "3")
		none := subscribe(t, beside, hub.Subscription{Topics: []string{"z"}, Opening: &hub.Opening{After: other}})
		if first := none.next(); first.ID != "" {
			t.Errorf("a client that has nothing of its topic yet gets the id %s, which is of another", first.ID)
		}
		events := without.poll()
		wantList(t, brief(events), "connected", "3")
		wantList(t, ids(events[:1]), last.String())
		for i, c := range cases {
			events := readers[i].poll()
			wantList(t, withReasons(t, events), c.want...)
			wantList(t, ids(events[:len(c.ids)]), c.ids...)
		}
	})
}

// An id stays good while nothing happens, however long that is, and a client that is up to date gets no other ids meanwhile.
func TestOpeningOfSilentTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, settings(100, 1<<20))
		beside := companion(h, "beside")
		last := publish(t, beside, topic("x", "1"))
		o := &hub.Opening{Frames: replayed(last, "1"), After: last}
		r := subscribe(t, beside, hub.Subscription{Topics: []string{"x"}, Opening: o})
		wantList(t, brief(r.poll()), "connected", "1")
		for range 10 {
			time.Sleep(time.Minute)
			publish(t, beside, topic("y", "of others"))
			if idle := string(r.conn.Idle()); idle != sse.Heartbeat {
				t.Fatalf("got %q", idle)
			}
		}
		if n := beside.Stats().HistoryEvents; n > 5 {
			t.Fatalf("%d events are left", n)
		}
		back := subscribe(t, beside, hub.Subscription{Topics: []string{"x"}, LastEventID: last.String(), Opening: o})
		fresh := subscribe(t, beside, hub.Subscription{Topics: []string{"x"}, Opening: o})
		publish(t, beside, topic("x", "2"))
		synctest.Wait()
		wantList(t, brief(back.poll()), "connected", "2")
		wantList(t, brief(fresh.poll()), "connected", "1", "2")

		time.Sleep(10 * time.Minute)
		late := subscribe(t, beside, hub.Subscription{Topics: []string{"x"}, LastEventID: last.String(), Opening: o})
		events := late.poll()
		wantList(t, withReasons(t, events), "connected", "gap trimmed", "1")
	})
}

// In a log that can be read again, an Opening reaches back to before the window.
func TestOpeningInLog(t *testing.T) {
	e, logs := newEngine(), newEngine()
	h, _ := e.hub(t, settings(100, 1<<20))
	beside := h.Companion("beside", logs.node(), hub.History{Events: 2, Age: time.Hour, Bytes: 1 << 20})
	before := publish(t, beside, topic("y", "of others"))
	publish(t, beside, topic("x", "1"), topic("x", "2"), topic("x", "3"), topic("y", "of others"), topic("x", "4"))
	r := subscribe(t, beside, hub.Subscription{Topics: []string{"x"}, Opening: &hub.Opening{After: before}})
	wantList(t, collect(r, "4"), "connected", "1", "2", "3", "4")
	second := broker.Position{Epoch: logs.epoch, Minor: 3}
	back := subscribe(t, beside, hub.Subscription{Topics: []string{"x"}, LastEventID: second.String(), Opening: &hub.Opening{After: before}})
	wantList(t, collect(back, "4"), "connected", "3", "4")
}

// The frames of an Opening are not copied for each client, which may be slow to take them: a large one comes alone, from where it is.
func TestOpeningIsNotCopied(t *testing.T) {
	beside := companion(newHub(t, settings(100, 1<<20)), "beside")
	last := publish(t, beside, topic("x", "1"))
	for size, calls := range map[int]int{100: 1, 10_000: 2} {
		o := &hub.Opening{Frames: replayed(last, strings.Repeat("x", size)), After: last}
		c, err := beside.Subscribe(t.Context(), hub.Subscription{Topics: []string{"x"}, Opening: o})
		if err != nil {
			t.Fatal(err)
		}
		publish(t, beside, topic("x", "2"))
		var frames [][]byte
		for range calls {
			if frames, err = c.Next(nil, 2048); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(frames); n != 3-calls || &frames[n-1][0] != &o.Frames[0] {
			t.Errorf("the last of %d frames is not that of the opening of %d bytes", n, size)
		}
		if frames, err = c.Next(nil, 2048); len(frames) != 1 || !strings.Contains(string(frames[0]), "data: 2") {
			t.Errorf("then came %q, %v", frames, err)
		}
		c.Close(nil)
		last = publish(t, beside, topic("x", "3"))
	}
}
