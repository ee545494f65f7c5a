package hub_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/membroker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/rules"
)

// forged has records that no hub writes, each of which would be heard by the user u, or take something from u.
func forged() map[string]broker.Record {
	u := broker.Target{Kind: broker.User, Name: "u"}
	event := func(change func(r *broker.Record)) broker.Record {
		r := user("u", "forged")
		change(&r)
		return r
	}
	control := func(kind broker.Kind, targets ...broker.Target) broker.Record {
		return broker.Record{Kind: kind, Targets: targets}
	}
	all := map[string]broker.Record{
		"superseded":             event(func(r *broker.Record) { r.Type = "sse:superseded" }),
		"gap":                    event(func(r *broker.Record) { r.Type = "sse:gap" }),
		"open":                   event(func(r *broker.Record) { r.Type = "open" }),
		"type of two lines":      event(func(r *broker.Record) { r.Type = "a\nid: x" }),
		"id of two lines":        event(func(r *broker.Record) { r.ID = "a\ndata: x" }),
		"id with a NUL":          event(func(r *broker.Record) { r.ID = "a\x00" }),
		"long id":                event(func(r *broker.Record) { r.ID = strings.Repeat("x", 129) }),
		"data that is not UTF-8": event(func(r *broker.Record) { r.Data = []byte("forged\xff") }),
		"retry of a year":        event(func(r *broker.Record) { r.Retry = 365 * 24 * time.Hour }),
		"negative retry":         event(func(r *broker.Record) { r.Retry = -time.Second }),
		"negative ttl":           event(func(r *broker.Record) { r.TTL = -time.Second }),
		"coalesce":               event(func(r *broker.Record) { r.Coalesce = "a\nb" }),
		"exclude":                event(func(r *broker.Record) { r.Exclude = []string{"a b"} }),
		"topics":                 event(func(r *broker.Record) { r.Topics = []string{"t"} }),
		"broadcast with a name":  event(func(r *broker.Record) { r.Targets = []broker.Target{{Kind: broker.Broadcast, Name: "x"}} }),
		"target with a control":  event(func(r *broker.Record) { r.Targets = append(r.Targets, broker.Target{Kind: broker.User, Name: "a\n"}) }),
		"topic that is too long": event(func(r *broker.Record) {
			r.Targets = append(r.Targets, broker.Target{Kind: broker.Topic, Name: strings.Repeat("a", rules.MaxForeignTopic+1)})
		}),
		"too many targets":          event(func(r *broker.Record) { r.Targets = many(rules.MaxTargets+1, u) }),
		"presence for a user":       event(func(r *broker.Record) { r.Type, r.Data = "sse:presence", []byte(`{"user":"x","state":"join"}`) }),
		"presence with other data":  presence("who", "forged"),
		"no target":                 event(func(r *broker.Record) { r.Targets = nil }),
		"disconnect everybody":      control(broker.Disconnect, broker.Target{Kind: broker.Broadcast}),
		"disconnect many":           control(broker.Disconnect, u, broker.Target{Kind: broker.User, Name: "v"}),
		"disconnect with data":      {Kind: broker.Disconnect, Targets: []broker.Target{u}, Data: []byte("forged")},
		"deny a topic":              control(broker.Deny, broker.Target{Kind: broker.Topic, Name: "who"}),
		"deny for a year":           {Kind: broker.Deny, Targets: []broker.Target{u}, TTL: 365 * 24 * time.Hour},
		"supersede a user":          control(broker.Supersede, u),
		"join without topics":       control(broker.Join, u),
		"join a topic with NUL":     {Kind: broker.Join, Targets: []broker.Target{u}, Topics: []string{"a\x00"}},
		"leave of a topic":          {Kind: broker.Leave, Targets: []broker.Target{{Kind: broker.Topic, Name: "who"}}, Topics: []string{"who"}},
		"join many":                 {Kind: broker.Join, Targets: many(2, u), Topics: []string{"who"}},
		"repeated join of a user":   {Kind: broker.Join, Targets: []broker.Target{u}, Topics: []string{"who"}, Since: broker.Position{Epoch: 1, Minor: 1}},
		"repeated leave":            {Kind: broker.Leave, Targets: []broker.Target{u}, Topics: []string{"who"}, Since: broker.Position{Epoch: 1, Minor: 1}},
		"incomplete join":           {Kind: broker.Join, Targets: []broker.Target{u}, Topics: []string{"who"}, Partial: true},
		"join read up to a place":   {Kind: broker.Join, Targets: []broker.Target{u}, Topics: []string{"who"}, Read: broker.Position{Epoch: 1, Minor: 1}},
		"disconnect without target": control(broker.Disconnect),
	}
	return all
}

func many(n int, t broker.Target) (targets []broker.Target) {
	for i := range n {
		t.Name = fmt.Sprint("u", i)
		targets = append(targets, t)
	}
	return append(targets, broker.Target{Kind: broker.User, Name: "u"})
}

func presence(topic, data string) broker.Record {
	return broker.Record{Targets: []broker.Target{{Kind: broker.Topic, Name: topic}}, Type: "sse:presence", Data: []byte(data)}
}

// Records that no hub writes are not believed: they are counted, and a gap covers them.
func TestForgedRecords(t *testing.T) {
	for name, record := range forged() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := hub.New("test", membroker.Open(), attended())
				defer h.Close()
				skipped := 0
				h.OnSkipped(func(_ broker.Position, err error) {
					if skipped++; !errors.Is(err, broker.ErrMalformed) {
						t.Errorf("skipped: %v", err)
					}
				})
				r := subscribe(t, h, hub.Subscription{User: "u", Topics: []string{"who"}})
				tap := h.Tap(hub.TapFilter{})
				defer tap.Close()
				publish(t, h, record, user("u", "after"))
				var list []string
				for _, text := range brief(r.poll()) {
					if text != "connected" && text != "presence" {
						list = append(list, text)
					}
				}
				wantList(t, list, "gap", "after")
				synctest.Wait()
				if r.conn.Ended() || h.Denied("u") {
					t.Errorf("the stream has ended: %q, or the user is denied: %v", r.conn.Cause(), h.Denied("u"))
				}
				if n := h.Stats().Skipped; n != 1 || skipped != 1 {
					t.Errorf("%d are counted, and %d told", n, skipped)
				}
				if err := h.Health(); err != nil {
					t.Errorf("health: %v", err)
				}
				for events, _ := tap.Take(); len(events) > 0; events = events[1:] {
					if strings.Contains(string(events[0].Data), "forged") {
						t.Errorf("a tap shows %+v", events[0])
					}
				}
			})
		})
	}
}

// The gap of an event that is not believed goes only to its targets.
func TestForgedForOthers(t *testing.T) {
	h := newHub(t, settings(100, 1<<20))
	r := subscribe(t, h, hub.Subscription{User: "u"})
	other := user("v", "forged")
	other.Type = "sse:gap"
	publish(t, h, other, user("u", "after"))
	wantList(t, collect(r, "after"), "connected", "after")
}

// The hub's own presence events are accepted: on its topic, on an earlier one, and if it has none, on that of another node.
func TestPresenceIsBelieved(t *testing.T) {
	for name, c := range map[string]struct {
		settings []hub.Settings
		topic    string
		want     bool
	}{
		"its topic":     {[]hub.Settings{attended()}, "who", true},
		"another topic": {[]hub.Settings{attended()}, "room", false},
		"an earlier one": {[]hub.Settings{func() hub.Settings {
			s := attended()
			s.Presence.Topic = "room"
			return s
		}(), attended()}, "room", true},
		"none here": {[]hub.Settings{settings(100, 1<<20)}, "room", true},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t, c.settings[0])
			for _, s := range c.settings[1:] {
				h.Configure(s)
			}
			r := subscribe(t, h, hub.Subscription{Topics: []string{c.topic}})
			publish(t, h, presence(c.topic, `{"user":"x","state":"join"}`), topic(c.topic, "after"))
			what := "gap"
			if c.want {
				what = "presence"
			}
			got := collect(r, "after")
			if len(got) != 3 || !strings.Contains(got[1], what) && (got[1] == "gap") == c.want {
				t.Errorf("got %q", got)
			}
		})
	}
}

// A record that only a newer version understands makes the hub unhealthy while the window has it.
func TestNewerRecordLeavesTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		h, n := e.hub(t, settings(4, 1<<20))
		n.mu.Lock()
		p := broker.Position{Epoch: e.epoch, Minor: uint64(len(e.entries) + 1)}
		e.entries = append(e.entries, broker.Entry{
			Position: p, Record: broker.Record{Kind: broker.Hole}, Err: fmt.Errorf("%w: kind 250", broker.ErrNewer),
		})
		n.mu.Unlock()
		publish(t, h, user("u", "1"))
		synctest.Wait()
		for i := range 3 {
			if err := h.Health(); !errors.Is(err, broker.ErrNewer) {
				t.Fatalf("after %d more: %v", i, err)
			}
			publish(t, h, user("u", fmt.Sprint(i)))
			synctest.Wait()
		}
		if err := h.Health(); err != nil || h.Skipped() != 0 {
			t.Errorf("after it has left the window: %v, and %d are skipped", err, h.Skipped())
		}
	})
}
