package hub_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/membroker"
	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

func settings(events int, pending int64) hub.Settings {
	return hub.Settings{
		History: hub.History{Events: events, Age: time.Hour, Bytes: 64 << 20},
		Limits:  hub.Limits{Pending: pending},
	}
}

func newHub(t *testing.T, s hub.Settings) *hub.Hub {
	h := hub.New("test", membroker.Open(), s)
	t.Cleanup(func() { _ = h.Close() })
	return h
}

func publish(t *testing.T, h *hub.Hub, records ...broker.Record) (last broker.Position) {
	t.Helper()
	for _, r := range h.Publish(context.Background(), records) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		last = r.Position
	}
	if _, err := h.Position(t.Context()); err != nil { // from here on the window has it
		t.Fatal(err)
	}
	return last
}

func user(name, data string) broker.Record {
	return broker.Record{Targets: []broker.Target{{Kind: broker.User, Name: name}}, Data: []byte(data)}
}

func topic(name, data string) broker.Record {
	return broker.Record{Targets: []broker.Target{{Kind: broker.Topic, Name: name}}, Data: []byte(data)}
}

// reader is a client: it parses what its connection has to write.
type reader struct {
	t      testing.TB
	conn   *hub.Conn
	wake   chan struct{}
	events []sse.Message // parsed, and not yet returned
}

func subscribe(t testing.TB, h *hub.Hub, sub hub.Subscription) *reader {
	t.Helper()
	c, err := h.Subscribe(t.Context(), sub)
	if err != nil {
		t.Fatal(err)
	}
	return &reader{t: t, conn: c, wake: waker(c)}
}

// waker returns a channel that is signalled when the connection has something.
func waker(c *hub.Conn) chan struct{} {
	wake := make(chan struct{}, 1)
	c.OnWake(wakes(func(bool) {
		select {
		case wake <- struct{}{}:
		default:
		}
	}))
	return wake
}

// wakes is a function as a hub.Waker.
type wakes func(now bool)

func (f wakes) Wake(now bool) { f(now) }

// fetch takes what the connection has. It reports whether that was anything.
func (r *reader) fetch() bool {
	frames, err := r.conn.Next(nil, 2048)
	blocks := sse.NewReader(bytes.NewReader(slices.Concat(frames...)), 1<<20) // an event may be several frames
	for m, e := blocks.Next(); e == nil; m, e = blocks.Next() {
		r.events = append(r.events, m)
	}
	return len(frames) > 0 && err == nil
}

// poll returns the events that are there without waiting.
func (r *reader) poll() []sse.Message {
	for r.fetch() {
	}
	events := r.events
	r.events = nil
	return events
}

// next waits for one event.
func (r *reader) next() sse.Message {
	r.t.Helper()
	deadline := time.After(30 * time.Second)
	for len(r.events) == 0 {
		if r.fetch() {
			continue
		}
		select {
		case <-r.wake:
		case <-deadline:
			r.t.Fatal("no event came")
		}
	}
	m := r.events[0]
	r.events = r.events[1:]
	return m
}

// single waits for one event, and takes no more than that.
func (r *reader) single() sse.Message {
	r.t.Helper()
	for {
		frames, err := r.conn.Next(nil, 1)
		if err != nil || len(frames) > 1 {
			r.t.Fatalf("got %d frames and %v", len(frames), err)
		}
		if len(frames) == 1 {
			m, err := sse.NewReader(bytes.NewReader(frames[0]), 2<<20).Next()
			if err != nil {
				r.t.Fatal(err)
			}
			return m
		}
		select {
		case <-r.wake:
		case <-time.After(30 * time.Second):
			r.t.Fatal("no event came")
		}
	}
}

// catchUp returns what the connection gets until it is live and has everything.
func (r *reader) catchUp(h *hub.Hub) (events []sse.Message) {
	r.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Microsecond) {
		events = append(events, r.poll()...)
		if c, _ := h.Connection(r.conn.ID); !c.CatchingUp && c.Pending == 0 {
			return append(events, r.poll()...)
		}
	}
	r.t.Fatal("it does not catch up")
	return nil
}

// taken waits until everything published has been taken to the connections.
func (r *reader) taken(h *hub.Hub) {
	r.t.Helper()
	p, err := h.Position(r.t.Context())
	if err == nil {
		err = h.Taken(r.t.Context(), p)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// collect reads up to an event with the data last.
func collect(r *reader, last string) []string {
	r.t.Helper()
	var events []sse.Message
	for {
		m := r.next()
		events = append(events, m)
		if m.Data == last {
			return brief(events)
		}
	}
}

// brief returns what a client got: types of the hub's own events, data of the app's.
func brief(events []sse.Message) (list []string) {
	for _, m := range events {
		if name, ok := strings.CutPrefix(m.Type, "sse:"); ok {
			list = append(list, name)
		} else {
			list = append(list, m.Data)
		}
	}
	return list
}

// appEvents leaves out the positions in between.
func appEvents(list []string) []string {
	return slices.DeleteFunc(list, func(s string) bool { return s == "position" })
}

func wantList(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
