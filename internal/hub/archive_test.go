package hub_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/membroker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
)

// keptLog is a log that exists before the hub, and can be read again. A position without its check is the same as with it.
type keptLog struct {
	broker.Broker
	entries []broker.Entry
	trimmed uint64 // up to here
	reads   atomic.Int64
	away    atomic.Bool
}

// logOf returns a log of n entries: each third is for u1, the others are for u2.
func logOf(n int) *keptLog {
	l := &keptLog{Broker: membroker.Open()}
	for i := range n {
		name := "u2"
		if i%3 == 0 {
			name = "u1"
		}
		r := user(name, fmt.Sprint(i))
		r.Time = time.Now()
		l.entries = append(l.entries, broker.Entry{Position: position(i), Record: r})
	}
	return l
}

func position(i int) broker.Position {
	return broker.Position{Epoch: 7, Minor: uint64(i + 1), Check: uint32(1000 + i)}
}

func (l *keptLog) Tail(ctx context.Context, last int, to broker.Sink) error {
	first := max(0, len(l.entries)-last)
	to.Begin(broker.Position{Epoch: 7, Minor: uint64(first)})
	if first < len(l.entries) {
		to.Deliver(l.entries[first:])
	}
	to.State(nil)
	<-ctx.Done()
	return ctx.Err()
}

func (l *keptLog) Read(_ context.Context, after, upTo broker.Position, limit int) ([]broker.Entry, error) {
	l.reads.Add(1)
	if l.away.Load() {
		return nil, broker.ErrUnavailable
	}
	if after.Minor < l.trimmed {
		return nil, broker.ErrTrimmed
	}
	from := int(after.Minor)
	return l.entries[from:max(from, min(from+limit, int(upTo.Minor)))], nil
}

func (l *keptLog) Resolve(_ context.Context, p broker.Position) (broker.Standing, error) {
	switch {
	case p.Epoch != 7 || p.Minor > uint64(len(l.entries)):
		return broker.Unknown, nil
	case p.Minor < l.trimmed:
		return broker.Trimmed, nil
	}
	return broker.Exact, nil
}

// resumed returns what u1 gets after an id.
func resumed(t *testing.T, h *hub.Hub, p broker.Position, last string) []string {
	t.Helper()
	return collect(subscribe(t, h, hub.Subscription{User: "u1", LastEventID: p.String()}), last)
}

func TestReadsWhatIsOlderThanTheWindow(t *testing.T) {
	l := logOf(301)
	h := hub.New("test", l, settings(10, 1<<20))
	t.Cleanup(func() { _ = h.Close() })

	want := []string{"connected"}
	for i := 3; i < 301; i += 3 {
		want = append(want, fmt.Sprint(i))
	}
	wantList(t, resumed(t, h, position(0), "300"), want...)
	reads := l.reads.Load()
	if reads == 0 || reads > 10 {
		t.Errorf("the log was read %d times", reads)
	}
	// The next clients get the same pages, whatever position they resume from.
	wantList(t, resumed(t, h, position(0), "300"), want...)
	wantList(t, resumed(t, h, position(10), "300"), append([]string{"connected"}, want[4:]...)...)
	if n := l.reads.Load(); n != reads {
		t.Errorf("the log was read %d times more", n-reads)
	}
	// If nothing of a client was trimmed from the window, the log is not read for it.
	quiet := subscribe(t, h, hub.Subscription{User: "u3", LastEventID: position(295).String()})
	if got := brief(quiet.poll()); len(got) != 1 || got[0] != "connected" {
		t.Errorf("got %q", got)
	}
}

func TestOlderThanTheLog(t *testing.T) {
	l := logOf(301)
	l.trimmed = 100
	h := hub.New("test", l, settings(10, 1<<20))
	t.Cleanup(func() { _ = h.Close() })
	wantList(t, resumed(t, h, position(50), "300"), "connected", "gap", "291", "294", "297", "300")
	wantList(t, resumed(t, h, position(290), "300"), "connected", "291", "294", "297", "300")
}

// The number counts, not the check, if the broker accepts a position without one.
func TestPositionWithoutCheck(t *testing.T) {
	h := hub.New("test", logOf(30), settings(20, 1<<20))
	t.Cleanup(func() { _ = h.Close() })
	for _, i := range []int{2, 9, 10, 15, 26} {
		p := position(i)
		p.Check = 0
		var want []string
		for n := 0; n < 30; n += 3 {
			if n > i {
				want = append(want, fmt.Sprint(n))
			}
		}
		wantList(t, resumed(t, h, p, "27"), append([]string{"connected"}, want...)...)
	}
}

// While the broker cannot be read, the stream stays open. It goes on when the broker is back.
func TestReadsWhenTheBrokerIsBack(t *testing.T) {
	l := logOf(61)
	l.away.Store(true)
	h := hub.New("test", l, settings(10, 1<<20))
	t.Cleanup(func() { _ = h.Close() })
	r := subscribe(t, h, hub.Subscription{User: "u1", LastEventID: position(30).String()})
	if m := r.next(); m.Type != "sse:connected" {
		t.Fatalf("got %+v", m)
	}
	if got := r.poll(); len(got) > 0 {
		t.Errorf("got %+v", got)
	}
	l.away.Store(false)
	wantList(t, collect(r, "60"), "33", "36", "39", "42", "45", "48", "51", "54", "57", "60")
}

// A window that is filled at the start is history: a new client gets none of it, and one that resumes gets everything it
// missed.
func TestWindowIsFilledAtTheStart(t *testing.T) {
	h := hub.New("test", logOf(31), settings(100, 1<<20))
	t.Cleanup(func() { _ = h.Close() })
	r := subscribe(t, h, hub.Subscription{User: "u1"})
	if got := r.poll(); len(got) != 1 || got[0].ID != position(30).String() {
		t.Errorf("got %+v", got)
	}
	wantList(t, resumed(t, h, position(20), "30"), "connected", "21", "24", "27", "30")
	if got := brief(subscribe(t, h, hub.Subscription{User: "u1", Replay: 2}).poll()); len(got) != 3 || got[2] != "30" {
		t.Errorf("got %q", got)
	}
}

// A topic that is taken away while a client catches up from the log is not heard again, even if a page with its events was read
// before. A client that is cut off at the gap misses nothing of the topics that it still has.
func TestNarrowWhileReadingTheLog(t *testing.T) {
	for name, take := range map[string]func(*hub.Hub, *hub.Conn) error{
		"leave": func(h *hub.Hub, _ *hub.Conn) error {
			_, err := h.Leave(t.Context(), broker.Target{Kind: broker.User, Name: "u1"}, []string{"secret"})
			return err
		},
		"reload": func(_ *hub.Hub, c *hub.Conn) error {
			c.Narrow(without("secret"))
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := newEngine().hub(t, settings(5, 1<<20))
			var first broker.Position
			var want []string
			for i := range 60 {
				name := []string{"kept", "secret"}[i%2]
				p := publish(t, h, topic(name, fmt.Sprint(name, " ", i)))
				if i == 0 {
					first = p
				} else if i%2 == 0 {
					want = append(want, fmt.Sprint(name, " ", i))
				}
			}
			r := subscribe(t, h, hub.Subscription{User: "u1", Topics: []string{"kept", "secret"}, LastEventID: first.String()})
			var kept []string
			for len(kept) < 3 {
				if m := r.single(); strings.HasPrefix(m.Data, "kept") {
					kept = append(kept, m.Data)
				}
			}
			if err := take(h, r.conn); err != nil {
				t.Fatal(err)
			}
			gap := r.single()
			if gap.Type != "sse:gap" || gap.ID == "" {
				t.Fatalf("got %+v, want a gap", gap)
			}
			publish(t, h, user("u1", "end"))
			rest := func(r *reader) (events []string) {
				for _, data := range collect(r, "end") {
					if data != "topics" && data != "connected" && data != "end" {
						events = append(events, data)
					}
				}
				return events
			}
			wantList(t, append(slices.Clone(kept), rest(r)...), want...)
			again := subscribe(t, h, hub.Subscription{User: "u1", Topics: []string{"kept"}, LastEventID: gap.ID})
			wantList(t, append(slices.Clone(kept), rest(again)...), want...)
		})
	}
}

// The gap of a hole begins where the client is.
func TestGapOfAHoleKnowsWhereItBegins(t *testing.T) {
	for name, window := range map[string]int{"live": 100, "from the log": 1} {
		t.Run(name, func(t *testing.T) {
			e := newEngine()
			h, n := e.hub(t, settings(window, 1<<20))
			first := publish(t, h, user("u", "1"))
			sub := hub.Subscription{User: "u", LastEventID: first.String()}
			var r *reader
			if name == "live" {
				r = subscribe(t, h, sub)
			}
			publish(t, h, user("v", "for another"))
			before := publish(t, h, user("u", "2"))
			n.mu.Lock()
			e.entries = append(e.entries, broker.Entry{
				Position: broker.Position{Epoch: e.epoch, Minor: uint64(len(e.entries) + 1)}, Record: broker.Record{Kind: broker.Hole},
			})
			n.mu.Unlock()
			publish(t, h, user("u", "3"), user("u", "4"))
			if r == nil {
				r = subscribe(t, h, sub)
			}
			for m := r.next(); ; m = r.next() {
				if m.Data == "4" {
					t.Fatal("no gap came")
				}
				if m.Type != "sse:gap" {
					continue
				}
				if want := fmt.Sprintf(`{"reason":"lost","from":"%s",`, before); !strings.HasPrefix(m.Data, want) {
					t.Errorf("got %s, want %s…", m.Data, want)
				}
				break
			}
		})
	}
}
