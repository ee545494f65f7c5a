package membroker_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/membroker"
)

// sink takes entries, one batch each time that it is let to.
type sink struct {
	begun   chan broker.Position
	batches chan []broker.Entry
	stop    <-chan struct{}
}

func (s *sink) Begin(p broker.Position) { s.begun <- p }

func (s *sink) State(error) {}

func (s *sink) Deliver(batch []broker.Entry) {
	select {
	case s.batches <- append([]broker.Entry(nil), batch...):
	case <-s.stop:
	}
}

// tail starts a Tail that ends with the test.
func tail(t *testing.T, b *membroker.Broker) *sink {
	ctx, cancel := context.WithCancel(context.Background())
	s := &sink{make(chan broker.Position, 1), make(chan []broker.Entry), ctx.Done()}
	done := make(chan error, 1)
	go func() { done <- b.Tail(ctx, 0, s) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) && !errors.Is(err, broker.ErrClosed) {
			t.Errorf("Tail ended with %v", err)
		}
	})
	return s
}

func record(key, data string) broker.Record {
	r := broker.Record{Key: key, Data: []byte(data)}
	copy(r.Digest[:], data)
	return r
}

func TestOrder(t *testing.T) {
	b := membroker.Open()
	early := b.Append(t.Context(), []broker.Record{record("", "0")})
	s := tail(t, b)
	begin := <-s.begun
	if begin.Compare(early[0].Position) >= 0 {
		t.Errorf("begins at %s, behind %s that nobody has seen", begin, early[0].Position)
	}
	for i := 1; i < 10; i++ {
		b.Append(t.Context(), []broker.Record{record("", strconv.Itoa(i))})
	}
	last := begin
	for i := 0; i < 10; {
		for _, e := range <-s.batches {
			if string(e.Record.Data) != strconv.Itoa(i) || e.Position.Compare(last) <= 0 || e.Position.Epoch != begin.Epoch {
				t.Fatalf("entry %d: %+v behind %s", i, e, last)
			}
			last = e.Position
			i++
		}
	}
	for p, want := range map[broker.Position]broker.Standing{
		last: broker.Exact, begin: broker.Trimmed, {Epoch: begin.Epoch, Minor: 11}: broker.Ahead,
		{Epoch: begin.Epoch + 1, Minor: 1}: broker.Unknown, {Epoch: begin.Epoch, Minor: 1, Check: 1}: broker.Unknown,
	} {
		if got, err := b.Resolve(t.Context(), p); err != nil || got != want {
			t.Errorf("%+v: got %d, %v, want %d", p, got, err, want)
		}
	}
	for p, want := range map[broker.Position]error{last: nil, begin: broker.ErrTrimmed, {Epoch: 1}: broker.ErrUnknown} {
		if _, err := b.Read(t.Context(), p, last, 10); !errors.Is(err, want) {
			t.Errorf("%+v: got %v, want %v", p, err, want)
		}
	}
}

func TestIdempotencyKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := membroker.Open()
		r := b.Append(t.Context(), []broker.Record{record("k", "a"), record("k", "a"), record("k", "b"), record("", "a"), record("", "a")})
		if r[0].Position != r[1].Position || !r[1].Repeated || r[0].Repeated {
			t.Errorf("the same key stored twice: %+v", r[:2])
		}
		if !errors.Is(r[2].Err, broker.ErrKeyReused) {
			t.Errorf("got %v for the same key and another content", r[2].Err)
		}
		if r[3].Position == r[4].Position {
			t.Error("no key, and stored once")
		}
		time.Sleep(membroker.KeyWindow - time.Nanosecond)
		if r := b.Append(t.Context(), []broker.Record{record("k", "a")}); !r[0].Repeated {
			t.Error("forgotten too early")
		}
		time.Sleep(time.Nanosecond)
		if r := b.Append(t.Context(), []broker.Record{record("k", "b")}); r[0].Err != nil || r[0].Repeated {
			t.Errorf("remembered too long: %+v", r[0])
		}
	})
}

func TestKeysAreBounded(t *testing.T) {
	b := membroker.Open()
	s := tail(t, b)
	<-s.begun
	go func() {
		for {
			select {
			case <-s.batches:
			case <-s.stop:
				return
			}
		}
	}()
	for i := range membroker.MaxKeys + 1 {
		b.Append(t.Context(), []broker.Record{record(strconv.Itoa(i), "x")})
	}
	if r := b.Append(t.Context(), []broker.Record{record("1", "x")}); !r[0].Repeated {
		t.Error("the second key was forgotten, too")
	}
	if r := b.Append(t.Context(), []broker.Record{record("0", "x")}); r[0].Repeated {
		t.Error("the first key is still remembered")
	}
}

// A hub that does not take what there is makes publishers wait, for a bounded time, and nothing is half stored.
func TestOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := membroker.Open()
		s := tail(t, b)
		<-s.begun
		ctx := t.Context()
		big := broker.Record{Data: make([]byte, membroker.MaxQueue)}
		b.Append(ctx, []broker.Record{big})
		synctest.Wait() // Tail is at Deliver now
		b.Append(ctx, []broker.Record{big})
		short, stop := context.WithTimeout(ctx, 2*time.Second)
		defer stop()
		start := time.Now()
		r := b.Append(short, []broker.Record{record("key", "x")})
		if !errors.Is(r[0].Err, broker.ErrOverloaded) || time.Since(start) != 2*time.Second {
			t.Errorf("got %v after %s", r[0].Err, time.Since(start))
		}
		go func() { <-s.batches; <-s.batches }()
		if r = b.Append(ctx, []broker.Record{record("key", "x")}); r[0].Err != nil || r[0].Repeated {
			t.Errorf("got %+v", r[0])
		}
		synctest.Wait()
		if batch := <-s.batches; len(batch) != 1 || string(batch[0].Record.Data) != "x" {
			t.Errorf("got %d entries", len(batch))
		}
		_ = b.Close()
		if r = b.Append(ctx, []broker.Record{record("", "x")}); !errors.Is(r[0].Err, broker.ErrClosed) {
			t.Errorf("got %v", r[0].Err)
		}
	})
}

// promptSink takes entries on the goroutine that brings them, unless it is slow.
type promptSink struct {
	slow    atomic.Bool
	busy    atomic.Bool
	entered func() // called by Deliver
	got     []uint64
}

func (s *promptSink) Begin(broker.Position) {}
func (s *promptSink) State(error)           {}
func (s *promptSink) Prompt() bool          { return !s.slow.Load() }

func (s *promptSink) Deliver(batch []broker.Entry) {
	if !s.busy.CompareAndSwap(false, true) {
		panic("two calls at once")
	}
	if s.entered != nil {
		s.entered()
	}
	for _, e := range batch {
		s.got = append(s.got, e.Position.Minor)
	}
	s.busy.Store(false)
}

// A sink that would not block has the entries when Append returns, and one that would does not delay Append.
func TestPromptSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := membroker.Open(), &promptSink{}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.Tail(ctx, 0, s) }()
		synctest.Wait()
		b.Append(ctx, []broker.Record{record("", "1"), record("", "2")})
		if len(s.got) != 2 {
			t.Errorf("the sink has %d entries when Append returns", len(s.got))
		}
		release := make(chan struct{})
		s.entered = func() { <-release }
		s.slow.Store(true)
		b.Append(ctx, []broker.Record{record("", "3")})
		synctest.Wait() // Tail is at Deliver now
		s.slow.Store(false)
		b.Append(ctx, []broker.Record{record("", "4")})
		cancel()
		synctest.Wait()
		select {
		case err := <-done:
			t.Errorf("Tail returned %v while the sink was at work", err)
		default:
		}
		close(release)
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Tail ended with %v", err)
		}
		if b.Append(t.Context(), []broker.Record{record("", "5")}); !slices.Equal(s.got, []uint64{1, 2, 3, 4}) {
			t.Errorf("the sink got %v", s.got)
		}
	})
}

// Many append at once to a sink that is slow at times.
func TestPromptSinkOrder(t *testing.T) {
	b, s := membroker.Open(), &promptSink{}
	s.entered = func() { s.slow.Store(rand.IntN(2) == 0) }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.Tail(ctx, 0, s) }()
	var appends sync.WaitGroup
	const callers, each = 8, 500
	for range callers {
		appends.Go(func() {
			for range each {
				b.Append(ctx, []broker.Record{record("", "x"), record("", "y")})
			}
		})
	}
	appends.Wait()
	s.slow.Store(false)
	b.Append(ctx, []broker.Record{record("", "last")}) // hands on whatever is left
	cancel()
	<-done
	for i, n := range s.got {
		if n != uint64(i+1) {
			t.Fatalf("entry %d comes as %d", n, i+1)
		}
	}
	if len(s.got) != callers*each*2+1 {
		t.Errorf("%d entries came", len(s.got))
	}
}
