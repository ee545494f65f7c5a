package filebroker

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
)

// disk makes files fail as a test wants.
type disk struct {
	mu                          sync.Mutex // guards all below
	write, sync, cut, allocates error
	short                       int // how many bytes a failing write writes all the same
}

type faultyFile struct {
	segFile
	disk *disk
}

func (d *disk) wrap(f segFile) segFile { return faultyFile{f, d} }

func (d *disk) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

func (f faultyFile) WriteAt(b []byte, at int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.write != nil {
		n, _ := f.segFile.WriteAt(b[:min(f.disk.short, len(b))], at)
		return n, f.disk.write
	}
	return f.segFile.WriteAt(b, at)
}

func (f faultyFile) Sync() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return errors.Join(f.segFile.Sync(), f.disk.sync)
}

func (f faultyFile) Truncate(n int64) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.cut != nil {
		return f.disk.cut
	}
	return f.segFile.Truncate(n)
}

func (f faultyFile) allocate(n int64) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.allocates != nil {
		return f.disk.allocates
	}
	return f.segFile.allocate(n)
}

func appendOne(t *testing.T, h *Handle, key, text string) broker.Result {
	t.Helper()
	r := event([]byte(text))
	r.Key = key
	copy(r.Digest[:], text)
	return h.Append(t.Context(), []broker.Record{r})[0]
}

// recovered waits until the log takes events again.
func recovered(t *testing.T, h *Handle, key, text string) broker.Result {
	t.Helper()
	var r broker.Result
	until(t, "space", func() bool {
		r = appendOne(t, h, key, text)
		return !errors.Is(r.Err, broker.ErrFull)
	})
	return r
}

// A write that fails stores nothing, not even the idempotency key, and the next one succeeds.
func TestFailingWrite(t *testing.T) {
	for name, c := range map[string]struct{ disk, want error }{
		"full":  {syscall.ENOSPC, broker.ErrFull},
		"quota": {syscall.EDQUOT, broker.ErrFull},
		"error": {syscall.EIO, broker.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			dir, d := t.TempDir(), &disk{}
			o := quiet(Options{wrap: d.wrap})
			h := opened(t, dir, o)
			f, begin := follow(t, h, 0), h.start()
			put(t, h, "a")
			d.set(func() { d.write, d.short = c.disk, 1<<20 })
			records := []broker.Record{event(make([]byte, 100)), event(make([]byte, 100))}
			records[0].Key, records[1].Key = "k", "k"
			for i, r := range h.Append(t.Context(), records) {
				if !errors.Is(r.Err, c.want) || !r.Position.IsZero() || r.Repeated {
					t.Errorf("record %d: %+v", i, r)
				}
			}
			d.set(func() { d.write = nil })
			if r := recovered(t, h, "k", "b"); r.Err != nil || r.Repeated {
				t.Fatalf("got %+v", r)
			}
			f.await(t, h.tip().Minor)
			for range 2 {
				if got := rest(t, h, begin); !slices.Equal(got, []string{"a", "b"}) {
					t.Errorf("got %q", got)
				}
				crash(t, h)
				h = opened(t, dir, o)
			}
			if !slices.Equal(f.texts, []string{"a", "b"}) {
				t.Errorf("Tail gave %q", f.texts)
			}
		})
	}
}

// After a failed sync nothing is appended any more: what is on the disk is not known, and another sync may lie.
func TestFailingSync(t *testing.T) {
	for name, sync := range map[string]time.Duration{"always": Always, "now and then": time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			dir, d := t.TempDir(), &disk{}
			h := opened(t, dir, quiet(Options{Sync: sync, wrap: d.wrap}))
			f := follow(t, h, 0)
			begin := h.start()
			put(t, h, "a")
			d.set(func() { d.sync = syscall.EIO })
			first := appendOne(t, h, "", "b")
			if sync == Always && !errors.Is(first.Err, broker.ErrUnknownOutcome) || sync != Always && first.Err != nil {
				t.Errorf("got %v", first.Err)
			}
			until(t, "Tail's bad news", func() bool {
				f.mu.Lock()
				defer f.mu.Unlock()
				return errors.Is(f.states[len(f.states)-1], syscall.EIO)
			})
			d.set(func() { d.sync = nil })
			if r := appendOne(t, h, "", "c"); !errors.Is(r.Err, broker.ErrUnavailable) || !errors.Is(r.Err, syscall.EIO) {
				t.Errorf("got %v", r.Err)
			}
			want := []string{"a"}
			if sync != Always {
				want = append(want, "b")
			}
			if got := rest(t, h, begin); !slices.Equal(got, want) {
				t.Errorf("got %q", got)
			}
			crash(t, h)
			h = opened(t, dir, quiet(Options{})) // and a restart helps, with a word of what may be missing
			if got := rest(t, h, begin); !slices.Equal(got, []string{"a", "b", "-"}) {
				t.Errorf("got %q", got)
			}
			put(t, h, "d")
		})
	}
}

// Where what was half written cannot be taken back, the log must not go on.
func TestFailingCut(t *testing.T) {
	d := &disk{}
	h := opened(t, t.TempDir(), quiet(Options{wrap: d.wrap}))
	d.set(func() { d.write, d.cut = syscall.EIO, syscall.EIO })
	if r := appendOne(t, h, "", "a"); !errors.Is(r.Err, broker.ErrUnknownOutcome) {
		t.Errorf("got %v", r.Err)
	}
	d.set(func() { d.write, d.cut = nil, nil })
	if r := appendOne(t, h, "", "a"); !errors.Is(r.Err, broker.ErrUnavailable) || errors.Is(r.Err, broker.ErrUnknownOutcome) {
		t.Errorf("got %v", r.Err)
	}
}

// No room for another segment: what was stored stays readable, and the log goes on once there is space.
func TestFullDisk(t *testing.T) {
	dir, d := t.TempDir(), &disk{}
	o := quiet(Options{wrap: d.wrap, segment: 4 << 10})
	h := opened(t, dir, o)
	begin := h.start()
	d.set(func() { d.allocates = syscall.ENOSPC })
	stored := 0
	for ; ; stored++ {
		if r := appendOne(t, h, "", "x"); errors.Is(r.Err, broker.ErrFull) {
			break
		} else if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	if got := rest(t, h, begin); len(got) != stored || stored == 0 {
		t.Errorf("%d of %d are readable", len(got), stored)
	}
	crash(t, h)

	// A restart on the full disk must not keep the server from coming up.
	for _, f := range files(t, dir) {
		b := readFile(t, f)
		s := segment{first: 1, end: int64(len(b)), salt: h.log.table.Salt}
		if err := s.scan(byteFile(b), s.end, nil); err != nil {
			t.Fatal(err)
		}
		writeFile(t, f, append(b[:s.end], s.footer()...)) // full, so that a new one is needed at once
	}
	h = opened(t, dir, o)
	if r := appendOne(t, h, "", "y"); !errors.Is(r.Err, broker.ErrFull) {
		t.Errorf("got %v", r.Err)
	}
	if got := rest(t, h, begin); len(got) != stored {
		t.Errorf("%d of %d are readable", len(got), stored)
	}
	d.set(func() { d.allocates = nil })
	if r := recovered(t, h, "", "z"); r.Err != nil {
		t.Fatal(r.Err)
	}
	if got := rest(t, h, begin); len(got) != stored+1 || got[stored] != "z" {
		t.Errorf("got %d events, want %d", len(got), stored+1)
	}
}

// A real file system that is full, by others and by ourselves.
func TestFullFileSystem(t *testing.T) {
	dir := t.TempDir()
	if err := mountSmall(t, dir, 1<<20); err != nil {
		t.Logf("no file system can be mounted (%v): what TestFullDisk injects has to do", err)
		return
	}
	o := quiet(Options{Sync: Never, segment: 128 << 10})
	h := opened(t, filepath.Join(dir, "log"), o)
	begin := h.start()
	ballast := filepath.Join(dir, "ballast")
	writeFile(t, ballast, make([]byte, 500<<10))
	stored := 0
	for ; ; stored++ {
		if r := appendOne(t, h, "", "0123456789"); errors.Is(r.Err, broker.ErrFull) {
			break
		} else if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	for range 2 {
		if got := rest(t, h, begin); len(got) != stored {
			t.Fatalf("%d of %d are readable", len(got), stored)
		}
		crash(t, h)
		h = opened(t, filepath.Join(dir, "log"), o)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if r := recovered(t, h, "", "again"); r.Err != nil {
		t.Fatal(r.Err)
	}
	if got := rest(t, h, begin); got[len(got)-1] != "again" || len(got) < stored+1 {
		t.Errorf("got %d events, the last is %q", len(got), got[len(got)-1])
	}
	crash(t, h)
}

func TestUnusableDirectory(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	writeFile(t, path, nil)
	if _, err := Open(filepath.Join(path, "log"), quiet(Options{})); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("got %v", err)
	}
}
