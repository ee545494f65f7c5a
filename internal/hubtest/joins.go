package hubtest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// attended opens a hub that publishes presence, with a small window.
func attended(t testing.TB, b broker.Broker, events int) *hub.Hub {
	t.Helper()
	s := settings(events)
	s.Presence = hub.Presence{Topic: "who", Debounce: 100 * time.Millisecond}
	one := start(t, b, "attended", s)
	t.Cleanup(func() { _ = one.Close() })
	return one
}

// saying returns the presence event in a frame as text; "" if there is none.
func saying(frame []byte) string {
	_, rest, ok := strings.Cut(string(frame), "event: sse:presence\ndata: ")
	data, _, _ := strings.Cut(rest, "\n")
	var e struct{ User, State string }
	if !ok || json.Unmarshal([]byte(data), &e) != nil {
		return ""
	}
	return e.State + " " + e.User
}

// told reads a stream until it holds n presence events, and returns them.
func told(t testing.TB, h *hub.Hub, after broker.Position, n int) (list []string) {
	t.Helper()
	c, err := h.Subscribe(t.Context(), hub.Subscription{Topics: []string{"who"}, LastEventID: after.String()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(nil)
	brokertest.Until(func() bool {
		frames, _ := c.Next(nil, 1<<16)
		for _, f := range frames {
			if said := saying(f); said != "" {
				list = append(list, said)
			}
		}
		return len(list) >= n
	})
	slices.Sort(list)
	return list
}

// fill publishes n events, which push older ones out of the window, and returns the last position.
func fill(t testing.TB, h *hub.Hub, n int) (last broker.Position) {
	t.Helper()
	for range n {
		res := h.Publish(t.Context(), []broker.Record{about("t", "x")})
		if res[0].Err != nil {
			t.Fatal(res[0].Err)
		}
		last = res[0].Position
	}
	if _, err := h.Position(t.Context()); err != nil {
		t.Fatal(err)
	}
	return last
}

// joinsOnce has users connect to two nodes at the same time. Each join is reported once, also to readers of the log.
func joinsOnce(t testing.TB, r brokertest.Reporter, h brokertest.Harness) {
	hubs := []*hub.Hub{attended(t, h.Open(t, nil), 100), attended(t, h.Open(t, nil), 100)}
	if !hasRoster(t, h) {
		return
	}
	from := fill(t, hubs[0], 1)
	const users = 40
	var want []string
	for i := range users {
		name := fmt.Sprintf("u%02d", i)
		var coming sync.WaitGroup
		for _, one := range hubs {
			coming.Go(func() {
				if c := arrive(t, one, name); c != nil {
					t.Cleanup(func() { c.Close(nil) })
				}
			})
		}
		coming.Wait()
		want = append(want, "join "+name)
	}
	for _, one := range hubs {
		brokertest.Eventually(t, "all joins are heard", func() bool {
			list, _, _, err := one.Users(t.Context(), "", 100)
			return err == nil && len(list) == users && len(told(t, one, from, users)) >= users
		})
	}
	end := fill(t, hubs[0], 150)
	third := attended(t, h.Open(t, nil), 100)
	brokertest.Eventually(t, "the other node has it all", func() bool { p, err := hubs[1].Position(t.Context()); return err == nil && p == end })
	for i, one := range append(hubs, third) {
		c, err := one.Subscribe(t.Context(), hub.Subscription{User: "end", Topics: []string{"who"}, LastEventID: from.String()})
		if err != nil {
			t.Fatal(err)
		}
		if res := one.Publish(t.Context(), []broker.Record{{Targets: []broker.Target{{Kind: broker.User, Name: "end"}}, Data: []byte("the end")}}); res[0].Err != nil {
			t.Fatal(res[0].Err)
		}
		var got []string
		if !brokertest.Until(func() bool {
			frames, _ := c.Next(nil, 1<<16)
			over := false
			for _, f := range frames {
				over = over || strings.Contains(string(f), "data: the end")
				if said := saying(f); strings.HasPrefix(said, "join u") {
					got = append(got, said)
				}
			}
			return over
		}) {
			r.Errorf("node %d: the stream does not come to its end", i)
		}
		c.Close(nil)
		if slices.Sort(got); !slices.Equal(got, want) {
			r.Errorf("node %d tells of %d comings: %s; want %d", i, len(got), got, len(want))
		}
	}
}

// presenceOverRestart restarts a node after a user has joined, when the join has left the window.
func presenceOverRestart(t testing.TB, r brokertest.Reporter, h brokertest.Harness) {
	for _, how := range []string{"still there", "left before"} {
		b := h.Open(t, nil)
		_, directory := b.(broker.Roster)
		_, keeper := b.(broker.Keeper)
		one := attended(t, b, 50)
		if !directory && !keeper {
			return
		}
		last := fill(t, one, 1)
		ghost := arrive(t, one, "ghost")
		if got := told(t, one, last, 1); len(got) != 1 || got[0] != "join ghost" {
			r.Errorf("it comes: %s", got)
		}
		last = fill(t, one, 100)
		if how == "left before" {
			ghost.Close(nil)
			if got := told(t, one, last, 1); len(got) != 1 || got[0] != "leave ghost" {
				r.Errorf("before the restart: %s", got)
			}
		}
		if err := one.Close(); err != nil {
			r.Errorf("closing: %v", err)
		}
		one = attended(t, h.Open(t, nil), 50)
		if how == "left before" {
			if got := told(t, one, last, 1); len(got) != 1 || got[0] != "leave ghost" {
				r.Errorf("after the restart: %s", got)
			}
		} else if !brokertest.Until(func() bool {
			list, _, _, err := one.Users(t.Context(), "", 10)
			return err == nil && len(list) == 1 && list[0].Name == "ghost"
		}) {
			r.Errorf("after the restart, nobody knows of the user who was there")
		}
		if how == "left before" {
			break
		}
		ghost.Close(nil)
		back := arrive(t, one, "ghost") // so its leave is reported here, like any other
		back.Close(nil)
		if got := told(t, one, last, 1); len(got) != 1 || got[0] != "leave ghost" {
			r.Errorf("it leaves: %s", got)
		}
		if err := one.Close(); err != nil {
			r.Errorf("closing: %v", err)
		}
	}
}
