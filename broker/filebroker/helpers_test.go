package filebroker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

// quiet returns options for a log that logs nothing. Its segments are small, unless a size is given: when a log is opened, it
// looks through the newest one to its end.
func quiet(o Options) Options {
	if o.segment == 0 && o.MaxBytes == 0 {
		o.segment = 1 << 20
	}
	o.Logger = slog.New(slog.DiscardHandler)
	return o
}

// opened opens a log, and closes it at the end.
func opened(t testing.TB, dir string, o Options) *Broker {
	t.Helper()
	b, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// crash ends a log as SIGKILL would: nothing more is written.
func crash(t testing.TB, b *Broker) {
	t.Helper()
	b.once.Do(func() {
		b.end()
		open.Lock()
		defer open.Unlock()
		delete(open.logs, b.log.dir)
		close(b.log.closing)
		b.log.stopped.Wait()
		if err := b.log.release(); err != nil {
			t.Fatal(err)
		}
	})
}

// put appends one event for each text, and returns the last one's position.
func put(t testing.TB, b *Broker, texts ...string) broker.Position {
	t.Helper()
	records := make([]broker.Record, len(texts))
	for i, s := range texts {
		records[i] = event([]byte(s))
	}
	results := b.Append(t.Context(), records)
	for i, r := range results {
		if r.Err != nil {
			t.Fatalf("appending %q: %v", texts[i], r.Err)
		}
	}
	return results[len(results)-1].Position
}

func numbered(prefix string, n int) (texts []string) {
	for i := range n {
		texts = append(texts, fmt.Sprint(prefix, i))
	}
	return texts
}

// rest returns the entries after a position: the texts of the events, and "-" for a hole.
func rest(t testing.TB, b *Broker, after broker.Position) (texts []string) {
	t.Helper()
	for at, end := after, b.tip(); ; {
		entries, err := b.Read(t.Context(), at, end, 100)
		if err != nil {
			t.Fatalf("reading after %s: %v", at, err)
		}
		if len(entries) == 0 {
			return texts
		}
		for _, e := range entries {
			if e.Position.Minor <= at.Minor {
				t.Fatalf("%s comes after %s", e.Position, at)
			}
			at = e.Position
			if e.Record.Kind == broker.Hole {
				texts = append(texts, "-")
			} else {
				texts = append(texts, string(e.Record.Data))
			}
		}
	}
}

func standing(t testing.TB, b *Broker, p broker.Position) broker.Standing {
	t.Helper()
	s, err := b.Resolve(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// start returns the position before the first entry that is left.
func (b *Broker) start() broker.Position {
	b.log.mu.Lock()
	defer b.log.mu.Unlock()
	return b.log.table.position(b.log.oldest() - 1)
}

// tip returns the newest entry's position.
func (b *Broker) tip() broker.Position {
	b.log.mu.Lock()
	defer b.log.mu.Unlock()
	return b.log.table.position(b.log.visible)
}

// follower is a sink that keeps what it is given.
type follower struct {
	mu     sync.Mutex // guards all below
	begin  broker.Position
	texts  []string
	last   broker.Position
	states []error
	hold   chan struct{} // while it is not nil, Deliver waits for it to be closed
}

// follow starts a Tail that ends with the test.
func follow(t testing.TB, b *Broker, last int) *follower {
	f := &follower{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Tail(ctx, last, f) }()
	t.Cleanup(func() {
		f.release()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) && !errors.Is(err, broker.ErrClosed) {
			t.Errorf("Tail ended with %v", err)
		}
	})
	brokertest.Eventually(t, "Tail's first word", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.states) > 0
	})
	return f
}

func (f *follower) Begin(p broker.Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.begin, f.last = p, p
}

func (f *follower) Deliver(entries []broker.Entry) {
	f.mu.Lock()
	hold := f.hold
	f.mu.Unlock()
	if hold != nil {
		<-hold
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range entries {
		if e.Position.Minor <= f.last.Minor {
			f.texts = append(f.texts, "out of order: "+e.Position.String())
		}
		f.last = e.Position
		if e.Record.Kind == broker.Hole {
			f.texts = append(f.texts, "-")
		} else if len(f.texts) < 1<<16 {
			f.texts = append(f.texts, string(e.Record.Data))
		}
	}
}

func (f *follower) State(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.states = append(f.states, err)
}

func (f *follower) release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.hold != nil {
		close(f.hold)
		f.hold = nil
	}
}

// await waits until the follower has come to an entry.
func (f *follower) await(t testing.TB, seq uint64) {
	t.Helper()
	brokertest.Eventually(t, fmt.Sprint("Tail's coming to ", seq), func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.last.Minor >= seq
	})
}

// byteFile is a file in memory.
func byteFile(b []byte) io.ReaderAt { return bytes.NewReader(b) }
