package hub_test

import (
	"errors"
	"io"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

var userU = broker.Target{Kind: broker.User, Name: "u"}

func (r *reader) wantEnd(cause string) {
	r.t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		if _, err := r.conn.Next(nil, 1<<20); errors.Is(err, io.EOF) {
			break
		}
		select {
		case <-r.wake:
		case <-deadline:
			r.t.Fatal("the stream has not ended")
		}
	}
	if got := r.conn.Cause(); got != cause {
		r.t.Errorf("ended as %q, want %q", got, cause)
	}
	r.conn.Close(nil)
}

func mustSteer(t *testing.T, there bool, err error) {
	t.Helper()
	if err != nil || !there {
		t.Fatalf("got %v, %v", there, err)
	}
}

// Topics begin and end at a place of the log, on whichever node the connection is.
func TestJoinAndLeave(t *testing.T) {
	e := newEngine()
	a, _ := e.hub(t, settings(100, 1<<20))
	b, _ := e.hub(t, settings(100, 1<<20))
	r := subscribe(t, b, hub.Subscription{User: "u", Topics: []string{"other"}})
	wantList(t, brief(r.poll()), "connected")
	ctx := t.Context()

	publish(t, a, topic("room", "before"))
	there, err := a.Join(ctx, userU, []string{"room", "other", "p/*"})
	mustSteer(t, there, err)
	publish(t, a, topic("room", "1"), topic("p/x", "2"))
	m := r.next()
	if m.Type != "sse:topics" || m.Data != `{"topics":["other","p/*","room"]}` || m.ID != "" {
		t.Errorf("got %q", m)
	}
	wantList(t, collect(r, "2"), "1", "2")

	there, err = a.Leave(ctx, broker.Target{Kind: broker.Connection, Name: r.conn.ID}, []string{"room"})
	mustSteer(t, there, err)
	publish(t, a, topic("room", "secret"), user("u", "3"))
	wantList(t, collect(r, "3"), "topics", "3")
	there, err = a.Leave(ctx, userU, []string{"p/x"}) // this takes the pattern away, as it covers the topic
	mustSteer(t, there, err)
	publish(t, a, topic("p/x", "secret"), topic("other", "4"))
	wantList(t, collect(r, "4"), "topics", "4")

	if topics, _, _, _ := b.Topics(ctx, "", 10); len(topics) > 1 && topics[0].Name != "other" {
		t.Errorf("left: %v", topics)
	}
	r.conn.Close(nil)
	if b.Left() != 0 {
		t.Error("something is left in the indexes")
	}
	one := newHub(t, settings(10, 1<<20))
	if there, _ := one.Join(ctx, broker.Target{Kind: broker.Connection, Name: "nobody"}, []string{"x"}); there {
		t.Error("one that is not there has joined")
	}
}

// A client that lags hears an added topic from the same place on as any other, whether from the window or the broker. Of one
// that is taken away it hears nothing more, and gets a gap.
func TestJoinAndLeaveWhileLagging(t *testing.T) {
	for name, s := range map[string]hub.Settings{
		"pending": settings(100, 1<<20), "catching up": settings(100, 1), "from the broker": settings(2, 1),
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine()
			h, _ := e.hub(t, s)
			r := subscribe(t, h, hub.Subscription{User: "u", Topics: []string{"own"}})
			r.poll()
			publish(t, h, topic("own", "1"), topic("own", "2"), topic("room", "before"), topic("own", "3"))
			_, err := h.Join(t.Context(), userU, []string{"room", "*"})
			mustSteer(t, true, err)
			publish(t, h, topic("room", "4"), topic("own", "5"), topic("hall", "6"), user("u", "7"))
			told := func(s string) bool { return s == "topics" } // it comes before the first such event
			wantList(t, slices.DeleteFunc(collect(r, "7"), told), "1", "2", "3", "4", "5", "6", "7")
			publish(t, h, topic("own", "8"), topic("room", "9"), topic("own", "10"))
			_, err = h.Leave(t.Context(), userU, []string{"room"})
			mustSteer(t, true, err)
			publish(t, h, topic("room", "secret"), topic("own", "11"))
			got := collect(r, "11")
			if slices.Contains(got, "9") == slices.Contains(got, "gap") || !slices.Contains(got, "topics") {
				t.Errorf("got %q", got)
			}
			wantList(t, slices.DeleteFunc(got, func(s string) bool { return told(s) || s == "gap" || s == "9" }), "8", "10", "11")
		})
	}
}

// A topic that an app has added stays when a new config does not grant it.
func TestAddedTopicsStay(t *testing.T) {
	h := newHub(t, settings(100, 1<<20))
	r := subscribe(t, h, hub.Subscription{User: "u", Topics: []string{"own"}})
	_, err := h.Join(t.Context(), userU, []string{"added"})
	mustSteer(t, true, err)
	publish(t, h, topic("added", "1"))
	wantList(t, collect(r, "1"), "connected", "topics", "1")
	r.conn.Narrow(func(string) bool { return false })
	publish(t, h, topic("own", "not theirs"), topic("added", "2"))
	wantList(t, collect(r, "2"), "gap", "2")
}

// A client that loses a topic does not hear what is published to it afterwards, whether its stream is live, slow, or just
// connecting.
func TestRevokeThenPublish(t *testing.T) {
	for name, s := range map[string]hub.Settings{
		"live": settings(10_000, 1<<20), "catching up": settings(10_000, 1), "from the broker": settings(5, 1),
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine()
			h, _ := e.hub(t, s)
			const clients, rounds = 8, 150
			var reading sync.WaitGroup
			done := make(chan struct{})
			for i := range clients {
				reading.Go(func() {
					last := ""
					r := subscribe(t, h, hub.Subscription{User: "u", Topics: []string{"noise"}})
					for {
						for _, m := range r.poll() {
							if m.Data == "secret" {
								t.Error("a secret was heard")
							}
							if m.ID != "" {
								last = m.ID
							}
						}
						if r.conn.Ended() {
							r.conn.Close(nil)
							r = subscribe(t, h, hub.Subscription{User: "u", Topics: []string{"noise"}, LastEventID: last})
						}
						if i%2 == 1 {
							time.Sleep(100 * time.Microsecond)
						}
						select {
						case <-done:
							r.conn.Close(nil)
							return
						default:
						}
					}
				})
			}
			// As records of the log, as Join and Leave would wait until they are obeyed.
			turn := func(kind broker.Kind) broker.Record {
				return broker.Record{Kind: kind, Targets: []broker.Target{userU}, Topics: []string{"room"}}
			}
			for i := range rounds {
				publish(t, h, turn(broker.Join), topic("room", strconv.Itoa(i)), topic("noise", "x"))
				publish(t, h, topic("noise", "x"), topic("room", "open"), turn(broker.Leave))
				publish(t, h, topic("room", "secret"), topic("noise", "x"))
			}
			close(done)
			reading.Wait()
		})
	}
}

// A stream that was open when a disconnect came hears nothing that comes after it, even if it lags.
func TestDisconnectIsInOrder(t *testing.T) {
	e := newEngine()
	h, _ := e.hub(t, settings(10_000, 1))
	for range 30 {
		var reading sync.WaitGroup
		for i := range 4 {
			r := subscribe(t, h, hub.Subscription{User: "u", Topics: []string{"room"}})
			reading.Go(func() {
				defer r.conn.Close(nil)
				for !r.conn.Ended() {
					for _, m := range r.poll() {
						if m.Data == "secret" {
							t.Error("a secret was heard")
						}
					}
					if i > 0 { // one of them never waits
						<-r.wake
					}
				}
			})
		}
		publish(t, h, topic("room", "1"), topic("room", "2"), topic("room", "3"))
		h.Publish(t.Context(), []broker.Record{{Kind: broker.Disconnect, Targets: []broker.Target{userU}}, topic("room", "secret")})
		reading.Wait()
	}
}

// A client that was looked up before something was taken from it gets no more than one that was connected.
func TestRevokedWhileArriving(t *testing.T) {
	h := newHub(t, settings(100, 1<<20))
	ctx := t.Context()
	arrived := h.Arrived()
	_, err := h.Leave(ctx, userU, []string{"room"})
	mustSteer(t, true, err)
	publish(t, h, topic("room", "secret"))
	r := subscribe(t, h, hub.Subscription{User: "u", Topics: []string{"room", "other"}, Arrived: arrived})
	publish(t, h, topic("room", "secret"), topic("other", "1"))
	wantList(t, collect(r, "1"), "connected", "topics", "1")
	r.conn.Close(nil)

	arrived = h.Arrived()
	if err := h.DisconnectUser(ctx, "u"); err != nil {
		t.Fatal(err)
	}
	publish(t, h, topic("x", "x"))
	subscribe(t, h, hub.Subscription{User: "u", Arrived: arrived}).wantEnd("disconnected")
	other := subscribe(t, h, hub.Subscription{User: "v", Arrived: arrived})
	later := subscribe(t, h, hub.Subscription{User: "u", Arrived: h.Arrived()})
	publish(t, h, user("u", "in"), user("v", "in"))
	wantList(t, collect(later, "in"), "connected", "in")
	wantList(t, collect(other, "in"), "connected", "in")
}

func TestDisconnectTopic(t *testing.T) {
	e := newEngine()
	a, _ := e.hub(t, settings(100, 1<<20))
	b, _ := e.hub(t, settings(100, 1<<20))
	var revoked []string
	b.OnRevoke(func(user string) { revoked = append(revoked, user) })
	name := subscribe(t, b, hub.Subscription{User: "u", Topics: []string{"room"}})
	pattern := subscribe(t, b, hub.Subscription{User: "u", Topics: []string{"*"}})
	other := subscribe(t, b, hub.Subscription{User: "u", Topics: []string{"hall"}})
	if err := a.DisconnectTopic(t.Context(), "room"); err != nil {
		t.Fatal(err)
	}
	name.wantEnd("disconnected")
	pattern.wantEnd("disconnected")
	publish(t, a, topic("hall", "1"))
	wantList(t, collect(other, "1"), "connected", "1")
	if len(revoked) != 1 || revoked[0] != "" {
		t.Errorf("revoked: %q", revoked)
	}
}

// A denied user stays out on all nodes, one that starts later among them, until the time is over or the user is admitted again.
func TestDeny(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		a, _ := e.hub(t, settings(100, 1<<20))
		b, _ := e.hub(t, settings(100, 1<<20))
		r := subscribe(t, b, hub.Subscription{User: "u"})
		if err := a.Deny(t.Context(), "u", 30*time.Second); err != nil {
			t.Fatal(err)
		}
		r.wantEnd("denied")
		c, _ := e.hub(t, settings(100, 1<<20))
		for i, h := range []*hub.Hub{a, b, c} {
			e.hear(t, h)
			if _, err := h.Subscribe(t.Context(), hub.Subscription{User: "u"}); !errors.Is(err, hub.ErrDenied) {
				t.Errorf("node %d: got %v", i, err)
			}
			subscribe(t, h, hub.Subscription{User: "v"}).conn.Close(nil)
			subscribe(t, h, hub.Subscription{}).conn.Close(nil)
			synctest.Wait() // the user's node reports that the user has gone
			if users, _ := h.User(t.Context(), "u"); users != 0 {
				t.Errorf("node %d: %d are counted", i, users)
			}
		}
		time.Sleep(31 * time.Second)
		subscribe(t, c, hub.Subscription{User: "u"}).conn.Close(nil)

		_ = a.Deny(t.Context(), "u", time.Hour)
		_ = b.Deny(t.Context(), "u", 0)
		e.hear(t, a)
		subscribe(t, a, hub.Subscription{User: "u"}).conn.Close(nil)
	})
}

// A request after a disconnect finds it done, even if the clients have yet to take it; and they may come back.
func TestDisconnectedAreGone(t *testing.T) {
	s := settings(100, 1<<20)
	s.Limits.PerUser = 1
	h := newHub(t, s)
	var readers []*reader
	for range 200 {
		readers = append(readers, subscribe(t, h, hub.Subscription{User: "u", Topics: []string{"room"}}))
		if err := h.DisconnectUser(t.Context(), "u"); err != nil {
			t.Fatal(err)
		}
		if n := h.UserHere("u"); n != 0 {
			t.Fatalf("has %d connections", n)
		}
		if list, total, _, _ := h.Connections(hub.Filter{User: "u"}, 10); len(list)+total != 0 {
			t.Fatalf("listed: %v, %d", list, total)
		}
	}
	for _, r := range readers {
		r.wantEnd("disconnected")
	}
	if err := h.Close(); err != nil || h.Left() != 0 {
		t.Errorf("%v, left in the indexes: %d", err, h.Left())
	}
}
