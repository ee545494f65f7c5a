package hubtest

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// manyLives restarts the nodes more often than a window remembers lives of the log. Clients that were away meanwhile miss
// nothing, and get nothing twice.
func manyLives(t testing.TB, r brokertest.Reporter, h brokertest.Harness) {
	c := newCluster(t, r, h, 1, whole)
	c.audience(10, false)
	c.load(2, 10)()
	c.settle()
	back := c.depart()
	for range 20 {
		c.kill(0)
		c.open(0)
		c.load(1, 2)()
	}
	back()
	c.judge(noGaps)
}

// takenAway removes a topic from a client that catches up from the log. The client gets no more of its events. One that is cut
// off at the gap misses nothing of the other topics.
func takenAway(t testing.TB, r brokertest.Reporter, h brokertest.Harness) {
	theHub := openHub(t, h, "hub", settings(5))
	var first broker.Position
	var want []string
	for i := range 60 {
		topic := []string{"kept", "secret"}[i%2]
		p := tell(t, theHub, about(topic, fmt.Sprint(topic, " ", i)))[0]
		if i == 0 {
			first = p
		} else if topic == "kept" {
			want = append(want, fmt.Sprint(topic, " ", i))
		}
	}
	l := listen(t, theHub, hub.Subscription{User: "u", Topics: []string{"kept", "secret"}, LastEventID: first.String()})
	var heard []string
	for len(heard) < 3 {
		if m := l.next(); len(m.Data) > 4 && m.Data[:4] == "kept" {
			heard = append(heard, m.Data)
		}
	}
	if _, err := theHub.Leave(t.Context(), broker.Target{Kind: broker.User, Name: "u"}, []string{"secret"}); err != nil {
		t.Fatal(err)
	}
	gap := l.next()
	for gap.Type != "sse:gap" && gap.Type != "" && gap.Type != "message" {
		gap = l.next()
	}
	if gap.Type != "sse:gap" {
		r.Errorf("after the topic was taken away comes %q, want a gap", gap.Data)
		return
	}
	tell(t, theHub, broker.Record{Targets: []broker.Target{{Kind: broker.User, Name: "u"}}, Data: []byte("end")})
	again := listen(t, theHub, hub.Subscription{User: "u", Topics: []string{"kept"}, LastEventID: gap.ID})
	for name, l := range map[string]*listener{"it goes on": l, "another after the gap": again} {
		if got := append(slices.Clone(heard), l.until("end")...); !slices.Equal(got, want) {
			r.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// excludedAfterReconnect has a client reconnect under another id, after events that it was excluded from: in one batch with
// others, alone, and while it catches up.
func excludedAfterReconnect(t testing.TB, r brokertest.Reporter, h brokertest.Harness) {
	theHub := openHub(t, h, "hub", settings(1000))
	topics := []string{"t"}
	from := tell(t, theHub, about("t", "begin"))[0].String()
	for _, batch := range [][]string{{"-"}, {"a", "-"}, {"-", "a"}, {"a", "-", "-"}} {
		l := listen(t, theHub, hub.Subscription{Topics: topics, LastEventID: from})
		var records []broker.Record
		for _, text := range batch {
			e := about("t", text)
			if text == "-" {
				e.Exclude = []string{l.conn.ID}
			}
			records = append(records, e)
		}
		positions := tell(t, theHub, records...)
		for last := positions[len(positions)-1].String(); l.last != last; { // it has passed all of them
			if m := l.next(); m.Data == "-" {
				r.Errorf("%q: it is given what it was excluded from", batch)
				return
			}
		}
		l.close()
		again := listen(t, theHub, hub.Subscription{Topics: topics, LastEventID: l.last})
		tell(t, theHub, about("t", "end"))
		if got := again.until("end"); len(got) > 0 {
			r.Errorf("%q: it comes back and gets %q", batch, got)
		}
		from = again.last
	}
}

// pagesInTheBudget has more clients catch up over large events than the hub's memory has room for. For a while they read
// nothing. Clients that have to wait get everything in the end, once and in order.
func pagesInTheBudget(t testing.TB, r brokertest.Reporter, h brokertest.Harness) {
	const budget, clients, events = 2 << 20, 20, 60
	s := settings(4)
	s.Limits.Memory = budget
	theHub := openHub(t, h, "hub", s)
	first := tell(t, theHub, about("t", "begin"))[0].String()
	var want []string
	for i := range events {
		data := fmt.Sprint(i, " ", string(bytes.Repeat([]byte("x"), 200<<10)))
		tell(t, theHub, about("t", data))
		want = append(want, data)
	}
	var all []*listener
	for range clients {
		l := listen(t, theHub, hub.Subscription{Topics: []string{"t"}, LastEventID: first})
		l.next() // it is connected
		all = append(all, l)
	}
	tell(t, theHub, about("t", "end"))
	for i, l := range all[:3] {
		if got := l.until("end"); !slices.Equal(got, want) {
			r.Errorf("client %d got %d events, want %d", i, len(got), len(want))
		}
	}
}
