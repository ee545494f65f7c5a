package hub_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// lagging is a log of 30 events for u1. The first 20 are in the window when the hub has started. The others come when free is
// closed. Every position has the same standing.
type lagging struct {
	*keptLog
	standing broker.Standing
	free     chan struct{}
}

func newLagging(standing broker.Standing) *lagging {
	l := &lagging{logOf(30), standing, make(chan struct{})}
	for i := range l.entries {
		l.entries[i].Record.Targets[0].Name = "u1"
	}
	return l
}

func (l *lagging) Tail(ctx context.Context, _ int, to broker.Sink) error {
	to.Begin(broker.Position{Epoch: 7})
	to.Deliver(l.entries[:20])
	to.State(nil)
	select {
	case <-l.free:
		to.Deliver(l.entries[20:])
	case <-ctx.Done():
	}
	<-ctx.Done()
	return ctx.Err()
}

func (l *lagging) Resolve(context.Context, broker.Position) (broker.Standing, error) {
	return l.standing, nil
}

// For an id in each place of the window and with each standing in the log, the client gets everything after it, or a gap whose
// reason is the standing.
func TestDecisions(t *testing.T) {
	if !hub.Decided() {
		t.Fatal("something is not decided")
	}
	at := func(i int, check uint32) broker.Position {
		p := position(i)
		p.Check += check
		return p
	}
	ids := map[string]struct {
		id    broker.Position
		after int // of an id that the log knows: the event before the first that the client gets
	}{
		"within":  {at(15, 0), 15},
		"older":   {at(5, 0), 5},
		"newer":   {at(25, 0), 25},
		"between": {at(15, 1), 15},
		"foreign": {broker.Position{Epoch: 6, Minor: 12}, 11}, // of the life before: Read goes by the number
	}
	reasons := map[broker.Standing]string{
		broker.Unknown: "unknown", broker.Exact: "", broker.Trimmed: "trimmed", broker.Lost: "lost", broker.Ahead: "unknown",
	}
	for place := range hub.Places {
		for standing, reason := range reasons {
			t.Run(fmt.Sprintf("%s, %d", place, standing), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := newLagging(standing)
					h := hub.New("test", l, settings(10, 1<<20))
					defer h.Close()
					synctest.Wait()
					p := ids[place].id
					if got := h.PlaceOf(p); got != place {
						t.Fatalf("the id is %s the window", got)
					}
					time.AfterFunc(time.Second, func() { close(l.free) })
					before := time.Now()
					r := subscribe(t, h, hub.Subscription{User: "u1", LastEventID: p.String()})
					defer r.conn.Close(nil)

					first, connected := ids[place].after+1, r.next()
					lost := reason
					if place == "within" || place == "newer" && (standing == broker.Trimmed || standing == broker.Lost) {
						lost = "" // the window has all, or will have, with a hole where something is missing
					}
					if waited := time.Since(before) > 0; waited != (place == "newer" && lost == "") {
						t.Errorf("waited for the window: %v", waited)
					}
					if lost == "" {
						if connected.ID != p.String() {
							t.Errorf("goes on from %q, want %q", connected.ID, p)
						}
					} else {
						var g gap
						m := r.next()
						if err := json.Unmarshal([]byte(m.Data), &g); err != nil || m.Type != "sse:gap" {
							t.Fatalf("got %v, want a gap", m)
						}
						if connected.ID != "" || g.Reason != lost || g.From != p.String() {
							t.Errorf("got %+v after %q, want a gap (%s) from %s", g, connected.ID, lost, p)
						}
						first = 10 // all that the window has
					}
					for want := first; want < 30; want++ {
						if m := r.next(); m.Data != fmt.Sprint(want) {
							t.Fatalf("got %v, want event %d", m, want)
						}
					}
				})
			})
		}
	}
}
