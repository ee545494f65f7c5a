package filebroker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

func TestRecordComesBack(t *testing.T) {
	t.Parallel()
	b := opened(t, t.TempDir(), quiet(Options{}))
	begin := b.start()
	want := broker.Record{
		Kind: broker.Disconnect, Targets: []broker.Target{{Kind: broker.Broadcast}, {Kind: broker.Topic, Name: "a/b"}}, Exclude: []string{"c"},
		Type: "t", ID: "i", Data: []byte("\x00\xff\n"), Retry: time.Second, TTL: time.Minute, Coalesce: "co", Key: "k", Digest: [16]byte{1},
	}
	before := time.Now()
	r := b.Append(t.Context(), []broker.Record{want})
	entries, err := b.Read(t.Context(), begin, r[0].Position, 10)
	if err != nil || len(entries) != 1 || entries[0].Position != r[0].Position {
		t.Fatalf("got %+v, %v", entries, err)
	}
	got := entries[0].Record
	if got.Time.Before(before) || got.Time.After(time.Now()) {
		t.Errorf("appended at %s", got.Time)
	}
	if got.Time = want.Time; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if r := b.Append(t.Context(), []broker.Record{{Data: make([]byte, maxRecord)}, {}}); !errors.Is(r[0].Err, errTooLarge) || r[1].Err != nil {
		t.Errorf("too large: %+v", r)
	}
}

// After a restart, a client comes back before anything is published: nothing is missing, and no gap is reported.
func TestResumeAfterRestart(t *testing.T) {
	t.Parallel()
	for _, killed := range []bool{true, false} {
		t.Run(fmt.Sprintf("killed=%t", killed), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			b := opened(t, dir, quiet(Options{Sync: Never}))
			known := []broker.Position{b.start(), put(t, b, "a"), put(t, b, "b", "c"), put(t, b, "d")}
			texts := []string{"a", "b", "c", "d"}
			ahead := known[3]
			ahead.Minor++
			if s := standing(t, b, ahead); s != broker.Ahead {
				t.Errorf("%s stands %d", ahead, s)
			}
			for life := range 4 {
				if killed {
					crash(t, b)
				} else if err := b.Close(); err != nil {
					t.Fatal(err)
				}
				b = opened(t, dir, quiet(Options{Sync: Never}))
				f := follow(t, b, 2)
				f.await(t, b.tip().Minor)
				if got := f.texts; !slices.Equal(got, texts[len(texts)-2:]) || b.tip() != known[len(known)-1] {
					t.Errorf("life %d begins with %q at %s", life, got, b.tip())
				}
				for i, p := range known {
					if s := standing(t, b, p); s != broker.Exact {
						t.Errorf("life %d: %s stands %d", life, p, s)
					}
					want := texts[len(texts)-int(b.tip().Minor-p.Minor):]
					if got := rest(t, b, p); !slices.Equal(got, want) {
						t.Errorf("life %d: behind position %d is %q, want %q", life, i, got, want)
					}
				}
				if s := standing(t, b, ahead); s != broker.Lost {
					t.Errorf("life %d: %s, which was never reached, stands %d", life, ahead, s)
				}
				if life%2 == 1 { // others pass without anything
					text := fmt.Sprint("life ", life)
					known, texts = append(known, put(t, b, text)), append(texts, text)
				}
			}
			for _, p := range []broker.Position{{Epoch: 1, Minor: 1}, {Epoch: known[0].Epoch, Minor: 1, Major: 1}, {Epoch: known[0].Epoch, Minor: 1, Check: 1}} {
				if _, err := b.Read(t.Context(), p, b.tip(), 1); standing(t, b, p) != broker.Unknown || !errors.Is(err, broker.ErrUnknown) {
					t.Errorf("%+v is known: %v", p, err)
				}
			}
		})
	}
}

// A directory put back to what it was before is another life: what was acknowledged since is known to be lost, and
// its positions are not given to others.
func TestRestoredCopy(t *testing.T) {
	t.Parallel()
	for _, clean := range []bool{true, false} {
		t.Run(fmt.Sprintf("clean=%t", clean), func(t *testing.T) {
			dir, backup := t.TempDir(), t.TempDir()
			b := opened(t, dir, quiet(Options{}))
			shared := put(t, b, "a", "b")
			if clean {
				if err := b.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.CopyFS(filepath.Join(backup, "log"), os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			if clean {
				b = opened(t, dir, quiet(Options{}))
			}
			gone := put(t, b, "c")
			crash(t, b)
			b = opened(t, filepath.Join(backup, "log"), quiet(Options{}))
			if got := put(t, b, "d"); got == gone {
				t.Errorf("two events at %s", got)
			}
			if s := standing(t, b, gone); s != broker.Lost && s != broker.Unknown {
				t.Errorf("what is lost stands %d", s)
			}
			if got := rest(t, b, shared); !slices.Equal(got, []string{"-", "d"}) {
				t.Errorf("got %q", got)
			}
		})
	}
}

// Entries that a crash of the machine may have lost are reported as a hole. If all were synced, there is no hole.
func TestMachineCrash(t *testing.T) {
	t.Parallel()
	for sync, want := range map[time.Duration][]string{Always: nil, Never: {"-"}} {
		dir := t.TempDir()
		b := opened(t, dir, quiet(Options{Sync: sync}))
		p := put(t, b, "a")
		crash(t, b)
		tb, _, err := readTable(dir)
		if err != nil {
			t.Fatal(err)
		}
		tb.Boot = "another"
		if err := tb.write(dir); err != nil {
			t.Fatal(err)
		}
		b = opened(t, dir, quiet(Options{Sync: Never}))
		if got := rest(t, b, p); !slices.Equal(got, want) {
			t.Errorf("sync %s: got %q, want %q", sync, got, want)
		}
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := quiet(Options{Sync: Never, segment: 4 << 10})
	b := opened(t, dir, o)
	first := appendOne(t, b, "k", "a")
	put(t, b, numbered("filler ", 200)...)
	for range 3 {
		if r := appendOne(t, b, "k", "a"); r.Position != first.Position || !r.Repeated || r.Err != nil {
			t.Errorf("again: %+v, first %+v", r, first)
		}
		if r := appendOne(t, b, "k", "b"); !errors.Is(r.Err, broker.ErrKeyReused) {
			t.Errorf("another content: %+v", r)
		}
		crash(t, b)
		b = opened(t, dir, o)
	}
	w := &b.log.writer.keys
	used := w.uses[0].at
	later := func(d time.Duration) moment { return moment{used.wall + int64(d), used.mono + d} }
	if seq, _ := w.find(&broker.Record{Key: "k", Digest: w.uses[0].digest}, later(KeyWindow-1)); seq != first.Position.Minor {
		t.Error("forgotten too early")
	}
	if seq, err := w.find(&broker.Record{Key: "k"}, later(KeyWindow)); seq != 0 || err != nil {
		t.Errorf("remembered too long: %d, %v", seq, err)
	}
	for i := range MaxKeys + 1 {
		w.add(use{key: fmt.Sprint(i), seq: uint64(i + 1), at: used})
	}
	if len(w.byKey) != MaxKeys || w.byKey["0"].seq != 0 || w.byKey["1"].seq == 0 {
		t.Errorf("%d keys are remembered", len(w.byKey))
	}
}

func diskUse(t *testing.T, dir string) (n int64) {
	t.Helper()
	for _, path := range files(t, dir) {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		n += info.Size()
	}
	return n
}

// A missing or unreadable segment is a hole, and newer entries are there.
func TestSegmentMissing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := quiet(Options{Sync: Never, segment: 1 << 10})
	b := opened(t, dir, o)
	begin, texts := b.start(), numbered("event ", 100)
	put(t, b, texts...)
	list := files(t, dir)
	if err := os.Remove(list[2]); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		got := rest(t, b, begin)
		i := slices.Index(got, "-")
		if i < 1 || strings.Count(strings.Join(got, ""), "-") != 1 || !slices.Equal(got[:i], texts[:i]) || !slices.Equal(got[i+1:], texts[len(texts)-len(got)+i+1:]) {
			t.Errorf("got %q", got)
		}
		crash(t, b)
		b = opened(t, dir, o)
	}
}

// A frame that is in order may hold what this version cannot read.
func TestForeignRecords(t *testing.T) {
	t.Parallel()
	b := opened(t, t.TempDir(), quiet(Options{}))
	begin := b.start()
	put(t, b, "a")
	for _, encoded := range [][]byte{{1}, {99, 0}} { // no record, and one of a newer format
		r := newRequest(make([]broker.Record, 1))
		r.encoded, r.ends[0] = encoded, len(encoded)
		b.log.requests <- r
		<-r.done
	}
	put(t, b, "b")
	if got := rest(t, b, begin); !slices.Equal(got, []string{"a", "-", "-", "b"}) {
		t.Errorf("got %q", got)
	}
}

// Many append, read, resolve and follow at once.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	b := opened(t, t.TempDir(), quiet(Options{Sync: time.Millisecond, MaxBytes: MinMaxBytes}))
	followers := []*follower{follow(t, b, 0), follow(t, b, 0)}
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 300 {
				p := put(t, b, fmt.Sprint(g, " ", i, strings.Repeat("x", 500)), "y")
				if s := standing(t, b, p); s != broker.Exact && s != broker.Trimmed {
					t.Errorf("%s stands %d", p, s)
				}
				p.Minor -= min(p.Minor, uint64(i%50))
				if _, err := b.Read(t.Context(), p, b.tip(), 20); err != nil && !errors.Is(err, broker.ErrTrimmed) {
					t.Errorf("reading behind %s: %v", p, err)
				}
			}
		})
	}
	all.Wait()
	for _, f := range followers {
		f.await(t, b.tip().Minor)
		if slices.Contains(f.texts, "-") {
			continue // it lagged behind what is kept
		}
		if len(f.texts) != 8*300*2 {
			t.Errorf("got %d events", len(f.texts))
		}
	}
}

func TestNothingIsLeft(t *testing.T) {
	descriptors := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			return 0 // not on this system
		}
		return len(list)
	}
	goroutines, files := runtime.NumGoroutine(), descriptors()
	for _, sync := range []time.Duration{Always, Never, time.Millisecond} {
		b, err := Open(t.TempDir(), quiet(Options{Sync: sync, segment: 1 << 10}))
		if err != nil {
			t.Fatal(err)
		}
		tail := make(chan error)
		go func() { tail <- b.Tail(t.Context(), 0, &follower{}) }()
		begin := b.start()
		put(t, b, numbered("event ", 100)...)
		rest(t, b, begin)
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if err := <-tail; !errors.Is(err, broker.ErrClosed) {
			t.Errorf("Tail ended with %v", err)
		}
	}
	brokertest.Eventually(t, "the end of what was begun", func() bool { return runtime.NumGoroutine() <= goroutines && descriptors() <= files })
}
