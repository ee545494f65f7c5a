package hub_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// Connections leave in any order, and nothing of them stays in the index.
func TestLeaversLeaveNoEntry(t *testing.T) {
	h := newHub(t, settings(100, 1<<20))
	for range 20 {
		var all []*hub.Conn
		for i := range 50 {
			all = append(all, subscribe(t, h, hub.Subscription{
				User: fmt.Sprintf("u%d", i%7), Topics: []string{fmt.Sprintf("t%d", i%5), "room/*", fmt.Sprintf("of/%d/**", i%3)},
			}).conn)
		}
		if h.Left() == 0 {
			t.Fatal("the index holds nothing")
		}
		for _, i := range rand.Perm(len(all)) {
			if i%2 == 0 {
				all[i].Narrow(func(topic string) bool { return topic == "room/*" })
			}
			all[i].Close(nil)
		}
		if n := h.Left(); n != 0 {
			t.Fatalf("%d entries are left", n)
		}
	}
}

func TestTargetsAreAUnion(t *testing.T) {
	h := newHub(t, settings(100, 1<<20))
	r := subscribe(t, h, hub.Subscription{User: "u1", Topics: []string{"a/*", "a/b", "**", "a/b"}})
	other := subscribe(t, h, hub.Subscription{User: "u2"})
	all := []broker.Target{
		{Kind: broker.Topic, Name: "a/b"}, {Kind: broker.User, Name: "u1"},
		{Kind: broker.Connection, Name: r.conn.ID}, {Kind: broker.Broadcast},
	}
	publish(t, h, broker.Record{Targets: all, Data: []byte("once")})
	publish(t, h, broker.Record{Targets: all, Data: []byte("not to r"), Exclude: []string{r.conn.ID}})
	publish(t, h, user("u2", "end"), user("u1", "end"))
	wantList(t, appEvents(collect(r, "end")), "connected", "once", "end")
	wantList(t, collect(other, "end"), "connected", "once", "not to r", "end")
}

// When all connections have left, the indexes are empty.
func TestIndexIsEmptyInTheEnd(t *testing.T) {
	for name, mixUp := range map[string]func(*hub.Hub){"": func(*hub.Hub) {}, "equal keys": (*hub.Hub).MixUp} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t, settings(10, 1<<20))
			mixUp(h)
			var conns []*hub.Conn
			for i := range 500 {
				sub := hub.Subscription{User: strconv.Itoa(i % 7), Topics: []string{"a", fmt.Sprintf("b/%d", i%3), "c/*"}[:i%4]}
				conns = append(conns, subscribe(t, h, sub).conn)
			}
			for i := range conns {
				c := conns[i*211%len(conns)]
				if info, ok := h.Connection(c.ID); !ok || info.ID != c.ID || info.User != c.User {
					t.Fatalf("got %+v for %s of %s", info, c.ID, c.User)
				}
				c.Close(nil)
				if _, ok := h.Connection(c.ID); ok {
					t.Fatal("still there")
				}
				if _, n, _, _ := h.Connections(hub.Filter{User: c.User}, 0); n != h.UserHere(c.User) {
					t.Fatalf("%d connections of %s are listed, %d counted", n, c.User, h.UserHere(c.User))
				}
			}
			if n := h.Left(); n != 0 {
				t.Errorf("%d entries are left", n)
			}
		})
	}
}

// Users and ids with the same key in the index get only what is theirs, and a client's newer stream replaces only its older one.
func TestEqualKeys(t *testing.T) {
	h := newHub(t, settings(100, 1<<20))
	h.MixUp()
	id := func(i int) string { return fmt.Sprintf("client-%016d", i%10) }
	var readers []*reader
	for i := range 20 {
		readers = append(readers, subscribe(t, h, hub.Subscription{User: fmt.Sprint("u", i%10), ID: id(i)}))
	}
	for i := range 10 {
		publish(t, h, user(fmt.Sprint("u", i), fmt.Sprint("user ", i)))
		publish(t, h, broker.Record{Targets: []broker.Target{{Kind: broker.Connection, Name: id(i)}}, Data: fmt.Append(nil, "connection ", i)})
	}
	publish(t, h, broker.Record{Targets: []broker.Target{{Kind: broker.Broadcast}}, Data: []byte("end")})
	for i, r := range readers[10:] {
		wantList(t, appEvents(collect(r, "end")), "connected", fmt.Sprint("user ", i), fmt.Sprint("connection ", i), "end")
	}
	for _, r := range readers[:10] {
		if !r.conn.Ended() {
			t.Errorf("the older stream of %s is open", r.conn.ID)
		}
	}
}
