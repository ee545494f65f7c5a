package filebroker

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

func TestMaxBytes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := quiet(Options{Sync: Never, MaxBytes: MinMaxBytes})
	b := opened(t, dir, o)
	begin, known := b.start(), []broker.Position{}
	for i := range 300 {
		known = append(known, put(t, b, numbered(strings.Repeat("x", 500)+fmt.Sprint(i, " "), 20)...))
		if n := diskUse(t, dir); n > o.MaxBytes+2<<10 {
			t.Fatalf("%d bytes after %d", n, i)
		}
	}
	if n := diskUse(t, dir); n < o.MaxBytes*8/10 {
		t.Errorf("only %d bytes are kept", n)
	}
	for range 2 {
		exact := 0
		for _, p := range known {
			s := standing(t, b, p)
			_, err := b.Read(t.Context(), p, b.tip(), 1)
			if s == broker.Exact && err == nil {
				exact++
			} else if exact > 0 || s != broker.Trimmed || !errors.Is(err, broker.ErrTrimmed) {
				t.Fatalf("%s stands %d, %v", p, s, err)
			}
		}
		if s := standing(t, b, begin); s != broker.Trimmed || exact < 50 || exact > 100 {
			t.Errorf("the log's begin stands %d, and of 300 groups %d are left", s, exact)
		}
		crash(t, b)
		b = opened(t, dir, o)
	}
	// An event larger than the whole log is kept as long as nothing comes after it.
	p := put(t, b, "before")
	put(t, b, strings.Repeat("y", 2*MinMaxBytes))
	if got := rest(t, b, p); len(got) != 1 {
		t.Errorf("got %d events", len(got))
	}
	put(t, b, "x")
	put(t, b, numbered(strings.Repeat("x", 500), 100)...)
	if n := diskUse(t, dir); n > o.MaxBytes+2<<10 {
		t.Errorf("%d bytes at the end", n)
	}
}

// All entries are trimmed by age while nothing is published. A reader that had them all sees no gap.
func TestMaxAge(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := quiet(Options{Sync: Never, MaxAge: 200 * time.Millisecond})
	b := opened(t, dir, o)
	begin, last := b.start(), put(t, b, "a", "b")
	brokertest.Eventually(t, "trimming by age", func() bool { return standing(t, b, begin) == broker.Trimmed })
	for range 2 {
		if s := standing(t, b, last); s != broker.Exact {
			t.Errorf("the last one stands %d", s)
		}
		if got := rest(t, b, last); len(got) != 0 {
			t.Errorf("got %q", got)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b = opened(t, dir, o)
	}
	f := follow(t, b, 10)
	if f.begin != last {
		t.Errorf("Tail begins at %s, want %s", f.begin, last)
	}
	if p := put(t, b, "c"); !slices.Equal(rest(t, b, last), []string{"c"}) || p.Epoch == last.Epoch {
		t.Errorf("%s comes behind %s", p, last)
	}
}

// A hub that lags does not make publishers wait: the log keeps what it has not taken yet, as long as it keeps anything.
func TestLaggingTail(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		max  int64
		hole bool
	}{"kept": {1 << 30, false}, "trimmed": {MinMaxBytes, true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := opened(t, t.TempDir(), quiet(Options{Sync: Never, MaxBytes: c.max}))
			f := follow(t, b, 0)
			put(t, b, "first")
			f.await(t, 1)
			f.hold = make(chan struct{})
			want := []string{"first"}
			for range 40 {
				texts := numbered(strings.Repeat("z", 100<<10), 10)
				put(t, b, texts...)
				want = append(want, texts...)
			}
			f.release()
			f.await(t, b.tip().Minor)
			live := put(t, b, "live")
			f.await(t, live.Minor)
			want = append(want, "live")
			if i := slices.Index(f.texts, "-"); (i >= 0) != c.hole {
				t.Fatalf("of %d events, number %d is a hole", len(f.texts), i)
			} else if i >= 0 && !slices.Equal(f.texts[i+1:], want[len(want)-len(f.texts)+i+1:]) {
				t.Error("behind the hole, something is missing")
			} else if i < 0 && !slices.Equal(f.texts, want) {
				t.Errorf("got %d events, want %d", len(f.texts), len(want))
			}
		})
	}
}
