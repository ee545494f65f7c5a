package natsbroker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/broker/natsbroker"
)

// sink keeps what Tail hands on.
type sink struct {
	mu      sync.Mutex // guards all below
	begun   broker.Position
	entries []broker.Entry
	state   error
	told    bool
}

func (s *sink) Begin(p broker.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun = p
}

func (s *sink) Deliver(batch []broker.Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries = append(s.entries, batch...)
}

func (s *sink) State(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.told = err, true
}

// well waits until Tail has caught up.
func (s *sink) well(t testing.TB) {
	t.Helper()
	brokertest.Eventually(t, "the tail", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.told && s.state == nil
	})
}

// ill waits until State is called with an error that contains a text, and returns the error.
func (s *sink) ill(t testing.TB, text string) (state error) {
	t.Helper()
	brokertest.Eventually(t, "a state with "+text, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		state = s.state
		return state != nil && strings.Contains(strings.ToLower(state.Error()), text)
	})
	return state
}

// has waits for exactly these entries; a hole is "-".
func (s *sink) has(t testing.TB, want string) {
	t.Helper()
	var got string
	defer func() {
		if t.Failed() {
			t.Logf("want %q, got %q", want, got)
		}
	}()
	brokertest.Eventually(t, "the entries", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		got = ""
		for _, e := range s.entries {
			if e.Record.Kind == broker.Hole {
				got += "-"
			} else {
				got += string(e.Record.Data)
			}
		}
		return got == want
	})
}

func tail(t testing.TB, b *natsbroker.Broker) *sink {
	s := new(sink)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = b.Tail(ctx, 100, s)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return s
}

func event(data string) broker.Record {
	return broker.Record{Targets: []broker.Target{{Kind: broker.Broadcast}}, Data: []byte(data)}
}

// put stores events, one each, and returns the last one's position.
func put(t testing.TB, b *natsbroker.Broker, data ...string) (p broker.Position) {
	t.Helper()
	for _, d := range data {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		r := b.Append(ctx, []broker.Record{event(d)})[0]
		cancel()
		if r.Err != nil {
			t.Fatalf("appending %s: %v", d, r.Err)
		}
		p = r.Position
	}
	return p
}

func standing(t testing.TB, b *natsbroker.Broker, p broker.Position, want broker.Standing) {
	t.Helper()
	if got, err := b.Resolve(t.Context(), p); err != nil || got != want {
		t.Errorf("%s: got %d, %v, want %d", p, got, err, want)
	}
}

// A stream that was deleted and made again is another log, although its numbers are the same.
func TestStreamDeleted(t *testing.T) {
	each(t, func(t *testing.T, binary string) {
		s := start(t, binary, "")
		a, b := open(t, "h", natsbroker.Options{Servers: []string{s.url()}}), open(t, "h", natsbroker.Options{Servers: []string{s.url()}})
		one, two := tail(t, a), tail(t, b)
		old := put(t, a, "1", "2")
		one.has(t, "12")
		two.has(t, "12")
		if err := s.admin(t).DeleteStream(t.Context(), "sse_push-h"); err != nil {
			t.Fatal(err)
		}
		fresh := put(t, b, "3", "4")
		one.has(t, "12-34")
		two.has(t, "12-34")
		standing(t, a, old, broker.Unknown)
		standing(t, a, fresh, broker.Exact)
		if last := one.entries[len(one.entries)-1].Position; last != fresh {
			t.Errorf("appended at %s and read at %s", fresh, last)
		}
	})
}

// A consumer may vanish while a node reads nothing.
func TestConsumerDeleted(t *testing.T) {
	each(t, func(t *testing.T, binary string) {
		s := start(t, binary, "")
		b := open(t, "h", natsbroker.Options{Servers: []string{s.url()}})
		one := tail(t, b)
		put(t, b, "1")
		one.has(t, "1")
		stream := s.stream(t, "sse_push-h")
		for name := range stream.ConsumerNames(t.Context()).Name() {
			if err := stream.DeleteConsumer(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
		put(t, b, "2", "3")
		one.has(t, "123")
	})
}

// Entries that were deleted from the middle are known as lost.
func TestMessageDeleted(t *testing.T) {
	each(t, func(t *testing.T, binary string) {
		s := start(t, binary, "")
		b := open(t, "h", natsbroker.Options{Servers: []string{s.url()}})
		first := put(t, b, "1", "2")
		last := put(t, b, "3", "4")
		if err := s.stream(t, "sse_push-h").DeleteMsg(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
		tail(t, b).has(t, "12-4")
		standing(t, b, first, broker.Lost)
		standing(t, b, last, broker.Exact)
		if _, err := b.Read(t.Context(), first, last, 10); !errors.Is(err, broker.ErrLost) {
			t.Errorf("got %v", err)
		}
	})
}

// Messages of other programs are skipped, and logged once.
func TestJunk(t *testing.T) {
	each(t, func(t *testing.T, binary string) {
		s := start(t, binary, "")
		var log logged
		b := open(t, "h", natsbroker.Options{Servers: []string{s.url()}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		one := tail(t, b)
		first := put(t, b, "1")
		js := s.admin(t)
		for _, m := range []struct{ subject, body string }{
			{"sse_push.h.events", "junk"}, {"sse_push.h.events", ""}, {"sse_push.h.marks", "junk"}, {"sse_push.h.marks", "\x01\x00"}, {"sse_push.h.events", "\x02\x00"},
		} {
			if _, err := js.Publish(t.Context(), m.subject, []byte(m.body)); err != nil {
				t.Fatal(err)
			}
		}
		// Only what this product has written can be of a newer version of it.
		if _, err := js.Publish(t.Context(), "sse_push.h.events", []byte("\x02\x00"), jetstream.WithMsgID("o-newer")); err != nil {
			t.Fatal(err)
		}
		last := put(t, b, "2")
		one.has(t, "1-2")
		entries, err := b.Read(t.Context(), first, last, 10)
		if err != nil || len(entries) != 2 || entries[1].Position != last {
			t.Errorf("read %+v, %v", entries, err)
		}
		standing(t, b, last, broker.Exact)
		if n := strings.Count(log.String(), "skipping messages"); n != 1 {
			t.Errorf("said %d times:\n%s", n, &log)
		}
	})
}

func TestWrongPassword(t *testing.T) {
	each(t, func(t *testing.T, binary string) {
		s := start(t, binary, "authorization { user: u, password: right }")
		var log logged
		b := open(t, "h", natsbroker.Options{
			Servers: []string{s.url()}, Connect: []nats.Option{nats.UserInfo("u", "s3cret")}, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		one := tail(t, b)
		state := one.ill(t, "authorization")
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		r := b.Append(ctx, []broker.Record{event("1")})[0]
		if !errors.Is(r.Err, broker.ErrUnavailable) || !strings.Contains(strings.ToLower(r.Err.Error()), "authorization") {
			t.Errorf("got %v", r.Err)
		}
		if strings.Contains(log.String()+r.Err.Error()+state.Error(), "s3cret") {
			t.Error("the password is told")
		}
		s.Kill(t)
		s.config = "authorization { user: u, password: s3cret }"
		s.Start(t)
		one.well(t)
		put(t, b, "1")
		one.has(t, "1")
	})
}

// A stream that cannot be used is refused, and one with other settings is given those of the options.
func TestExistingStream(t *testing.T) {
	each(t, func(t *testing.T, binary string) {
		s := start(t, binary, "")
		js := s.admin(t)
		create := func(c jetstream.StreamConfig) {
			brokertest.Eventually(t, "JetStream", func() bool {
				_, err := js.CreateStream(t.Context(), c)
				return err == nil
			})
		}
		create(jetstream.StreamConfig{Name: "sse_push-full", Subjects: []string{"sse_push.full.events"}, MaxMsgs: 2, Discard: jetstream.DiscardNew, Duplicates: time.Second, MaxMsgSize: 1 << 20, AllowDirect: true})
		b := open(t, "full", natsbroker.Options{Servers: []string{s.url()}, MaxAge: time.Hour})
		put(t, b, "1", "2")
		if r := b.Append(t.Context(), []broker.Record{event("3")})[0]; !errors.Is(r.Err, broker.ErrFull) {
			t.Errorf("got %v", r.Err)
		}
		c := s.stream(t, "sse_push-full").CachedInfo().Config
		if c.MaxAge != time.Hour || c.MaxMsgs != 2 || c.Duplicates != natsbroker.KeyWindow || len(c.Subjects) != 2 {
			t.Errorf("the stream has %+v", c)
		}
		if c.MaxMsgSize != 1<<20 || !c.AllowDirect || c.Discard != jetstream.DiscardNew { // nothing to us
			t.Errorf("the stream has lost settings: %+v", c)
		}

		create(jetstream.StreamConfig{Name: "sse_push-work", Subjects: []string{"other"}, Retention: jetstream.WorkQueuePolicy})
		tail(t, open(t, "work", natsbroker.Options{Servers: []string{s.url()}})).ill(t, "retention")

		create(jetstream.StreamConfig{Name: "thief", Subjects: []string{"sse_push.stolen.>"}})
		tail(t, open(t, "stolen", natsbroker.Options{Servers: []string{s.url()}})).ill(t, "overlap")
	})
}

// The limits of a stream trim it, and a node that was away knows what it has missed.
func TestBounds(t *testing.T) {
	each(t, func(t *testing.T, binary string) {
		s := start(t, binary, "")
		b := open(t, "h", natsbroker.Options{Servers: []string{s.url()}, MaxEvents: 3})
		first := put(t, b, "1", "2")
		third := put(t, b, "3")
		put(t, b, "4", "5")
		standing(t, b, first, broker.Exact)
		put(t, b, "6")
		standing(t, b, first, broker.Trimmed)
		standing(t, b, third, broker.Exact)
		tail(t, b).has(t, "456")
		if _, err := b.Read(t.Context(), first, third, 1); !errors.Is(err, broker.ErrTrimmed) {
			t.Errorf("got %v", err)
		}
	})
}

// Hubs with different names have different logs.
func TestNames(t *testing.T) {
	s := start(t, current(t), "")
	var hubs []*natsbroker.Broker
	names := []string{"a", "A", "a b", "a.b", "a_20b", "a*", ">", "ü", "a/b", "a\\b", strings.Repeat("ü", 127), strings.Repeat("ü", 126) + "u"}
	for _, name := range names {
		hubs = append(hubs, open(t, name, natsbroker.Options{Servers: []string{s.url()}}))
	}
	for i, b := range hubs {
		put(t, b, fmt.Sprintf("[%d]", i))
	}
	for i, b := range hubs {
		tail(t, b).has(t, fmt.Sprintf("[%d]", i))
	}
}
