package hub_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/filebroker"
	"github.com/sse-push/caddy-sse-push/broker/membroker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

func attended() hub.Settings {
	s := settings(1000, 1<<20)
	s.Presence = hub.Presence{Topic: "who", Debounce: 5 * time.Second}
	return s
}

// watch subscribes to the presence topic.
func watch(t *testing.T, h *hub.Hub) *reader {
	r := subscribe(t, h, hub.Subscription{Topics: []string{"who"}})
	r.poll()
	return r
}

// after waits, and returns the presence events that came meanwhile, abbreviated and sorted.
func (r *reader) after(d time.Duration) (said []string) {
	time.Sleep(d)
	synctest.Wait()
	for _, m := range r.poll() {
		if m.Type == "sse:position" {
			continue
		}
		if m.Type != "sse:presence" || m.ID == "" {
			r.t.Errorf("got %q", m)
		}
		user, state, _ := strings.Cut(strings.TrimPrefix(m.Data, `{"user":"`), `","state":"`)
		said = append(said, strings.TrimSuffix(state, `"}`)+" "+user)
	}
	slices.Sort(said)
	return said
}

func TestPresence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hub.New("test", membroker.Open(), attended())
		defer h.Close()
		r := watch(t, h)
		one := subscribe(t, h, hub.Subscription{User: "u"})
		two := subscribe(t, h, hub.Subscription{User: "u"})
		subscribe(t, h, hub.Subscription{})
		wantList(t, r.after(time.Millisecond), "join u")
		one.conn.Close(nil)
		wantList(t, r.after(20*time.Second))
		two.conn.Close(nil)
		wantList(t, r.after(4*time.Second))
		one = subscribe(t, h, hub.Subscription{User: "u"}) // the page was reloaded
		wantList(t, r.after(20*time.Second))
		one.conn.Close(nil)
		wantList(t, r.after(7*time.Second), "leave u")
		subscribe(t, h, hub.Subscription{User: "u"})
		wantList(t, r.after(time.Millisecond), "join u")

		s := attended()
		s.Presence = hub.Presence{}
		h.Configure(s)
		subscribe(t, h, hub.Subscription{User: "v"})
		wantList(t, r.after(20*time.Second))
		h.Configure(attended()) // from now on
		wantList(t, r.after(time.Second), "join u", "join v")
	})
}

// The list of users and the events agree, so that a page may begin with the list and go on with the events.
func TestUsersArePresent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		a, _ := e.hub(t, attended())
		b, _ := e.hub(t, attended())
		both := func(d time.Duration, want ...hub.Count) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			for _, h := range []*hub.Hub{a, b} {
				if got, total, _, err := h.Users(t.Context(), "", 10); err != nil || total != len(want) || !slices.Equal(got, want) {
					t.Errorf("got %v of %d, %v, want %v", got, total, err, want)
				}
			}
		}
		one := subscribe(t, a, hub.Subscription{User: "u"})
		subscribe(t, b, hub.Subscription{User: "v"})
		both(3*time.Second, hub.Count{Name: "u", Connections: 1}, hub.Count{Name: "v", Connections: 1})
		one.conn.Close(nil)
		both(3*time.Second, hub.Count{Name: "u", Connections: 0}, hub.Count{Name: "v", Connections: 1}) // it may be a reload
		both(20*time.Second, hub.Count{Name: "v", Connections: 1})

		// A node knows at once what is connected to it.
		subscribe(t, b, hub.Subscription{User: "w"})
		if n, err := b.User(t.Context(), "w"); n != 1 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
	})
}

// In a cluster each event is published once, whichever nodes a user is on.
func TestPresenceAcrossNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		a, _ := e.hub(t, attended())
		b, _ := e.hub(t, attended())
		ra, rb := watch(t, a), watch(t, b)
		both := func(d time.Duration, want ...string) {
			t.Helper()
			wantList(t, ra.after(d), want...)
			wantList(t, rb.after(0), want...)
		}
		onA := subscribe(t, a, hub.Subscription{User: "u"})
		onB := subscribe(t, b, hub.Subscription{User: "u"}) // at once
		both(3*time.Second, "join u")
		onA.conn.Close(nil)
		both(30 * time.Second)
		onA = subscribe(t, a, hub.Subscription{User: "u"})
		both(3 * time.Second)
		onA.conn.Close(nil)
		onB.conn.Close(nil) // at once
		both(15*time.Second, "leave u")

		onA = subscribe(t, a, hub.Subscription{User: "u"})
		both(3*time.Second, "join u")
		onA.conn.Close(nil)
		time.Sleep(4 * time.Second)
		onB = subscribe(t, b, hub.Subscription{User: "u"}) // moves, just in time
		both(30 * time.Second)

		c, _ := e.hub(t, attended())
		rc := watch(t, c)
		onC := subscribe(t, c, hub.Subscription{User: "u"})
		both(3 * time.Second)
		onB.conn.Close(nil)
		onC.conn.Close(nil)
		both(15*time.Second, "leave u")
		wantList(t, rc.after(0), "leave u")
	})
}

// Users of a node that has died have left, and that is published once.
func TestPresenceOfDeadNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		a, _ := e.hub(t, attended())
		b, _ := e.hub(t, attended())
		dying, n := e.hub(t, attended())
		ra, rb := watch(t, a), watch(t, b)
		for _, user := range []string{"u", "v", "w"} {
			subscribe(t, dying, hub.Subscription{User: user})
		}
		stays := subscribe(t, a, hub.Subscription{User: "v"})
		wantList(t, ra.after(3*time.Second), "join u", "join v", "join w")
		close(n.dead)
		wantList(t, ra.after(time.Minute), "leave u", "leave w")
		wantList(t, rb.after(0), "join u", "join v", "join w", "leave u", "leave w")
		stays.conn.Close(nil)
		wantList(t, ra.after(time.Minute), "leave v")
	})
}

// A presence event that others publish to another topic changes nothing.
func TestPresenceElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hub.New("test", membroker.Open(), attended())
		defer h.Close()
		r := watch(t, h)
		h.Publish(t.Context(), []broker.Record{{
			Targets: []broker.Target{{Kind: broker.Topic, Name: "what"}}, Type: "sse:presence", Data: []byte(`{"user":"u","state":"join"}`),
		}})
		subscribe(t, h, hub.Subscription{User: "u"})
		wantList(t, r.after(time.Second), "join u")
	})
}

// A node that has fallen silent may still have a user's stream: no leave is published until it has been silent for long.
func TestNoLeaveWhileANodeIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		a, _ := e.hub(t, attended())
		_, n := e.hub(t, attended())
		r := watch(t, a)
		one := subscribe(t, a, hub.Subscription{User: "u"})
		wantList(t, r.after(3*time.Second), "join u")
		close(n.dead)
		one.conn.Close(nil)
		wantList(t, r.after(29*time.Second))
		wantList(t, r.after(10*time.Second), "leave u")
	})
}

// Presence takes at most a twentieth of a history that others use as well. What there is no room for is published later.
func TestPresenceSparesTheHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		s := attended()
		s.History.Events = 100
		a, _ := e.hub(t, s)
		r := watch(t, a)
		for range 60 {
			publish(t, a, user("x", "x"))
		}
		var want []string
		for i := range 30 {
			name := fmt.Sprintf("u%02d", i)
			subscribe(t, a, hub.Subscription{User: name})
			want = append(want, "join "+name)
		}
		said := r.after(20 * time.Second)
		if len(said) != 5 || e.length() != 65 {
			t.Errorf("%d joins are said; the log has %d records", len(said), e.length())
		}
		for range 6 {
			for range 100 {
				publish(t, a, user("x", "x"))
			}
			said = append(said, r.after(3*time.Second)...)
		}
		slices.Sort(said)
		slices.Sort(want)
		wantList(t, said, want...)
	})
}

// A hub that starts again knows who was present, even if its window does not reach back so far.
func TestPresenceOverRestart(t *testing.T) {
	for _, name := range []string{"shared", "file"} {
		for _, before := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, left before: %v", name, before), func(t *testing.T) {
				dir := t.TempDir()
				synctest.Test(t, func(t *testing.T) {
					e := newEngine()
					open := func() broker.Broker { return e.node() }
					if name == "file" {
						open = func() broker.Broker { return openLog(t, dir) }
					}
					presenceOverRestart(t, open, before)
				})
			})
		}
	}
}

func openLog(t *testing.T, dir string) broker.Broker {
	t.Helper()
	b, err := filebroker.Open(dir, filebroker.Options{Sync: filebroker.Never})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func presenceOverRestart(t *testing.T, open func() broker.Broker, before bool) {
	s := attended()
	s.History.Events = 5
	h := hub.New("test", open(), s)
	r := watch(t, h)
	ghost := subscribe(t, h, hub.Subscription{User: "ghost"})
	wantList(t, r.after(time.Second), "join ghost")
	var last broker.Position
	for range 20 {
		last = publish(t, h, topic("who", "x"))
	}
	time.Sleep(15 * time.Second)
	if before {
		ghost.conn.Close(nil)
		time.Sleep(10 * time.Second)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}

	h = hub.New("test", open(), s)
	defer h.Close()
	r = subscribe(t, h, hub.Subscription{Topics: []string{"who"}, LastEventID: last.String()})
	if m := r.next(); m.Type != "sse:connected" {
		t.Errorf("got %+v", m)
	}
	if !before {
		wantList(t, r.after(5*time.Second)) // it may come back
	}
	wantList(t, r.after(40*time.Second), "leave ghost")
	wantList(t, r.after(time.Minute))
}
