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
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
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

func appendOne(t *testing.T, b *Broker, key, text string) broker.Result {
	t.Helper()
	r := event([]byte(text))
	r.Key = key
	copy(r.Digest[:], text)
	return b.Append(t.Context(), []broker.Record{r})[0]
}

// recovered waits until the log takes events again.
func recovered(t *testing.T, b *Broker, key, text string) broker.Result {
	t.Helper()
	var r broker.Result
	brokertest.Eventually(t, "space", func() bool {
		r = appendOne(t, b, key, text)
		return !errors.Is(r.Err, broker.ErrFull)
	})
	return r
}

// A write that fails stores nothing, not even the idempotency key, and the next one succeeds.
func TestFailingWrite(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ disk, want error }{
		"full":  {syscall.ENOSPC, broker.ErrFull},
		"quota": {syscall.EDQUOT, broker.ErrFull},
		"error": {syscall.EIO, broker.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, d := t.TempDir(), &disk{}
			o := quiet(Options{wrap: d.wrap})
			b := opened(t, dir, o)
			f, begin := follow(t, b, 0), b.start()
			put(t, b, "a")
			d.set(func() { d.write, d.short = c.disk, 1<<20 })
			records := []broker.Record{event(make([]byte, 100)), event(make([]byte, 100))}
			records[0].Key, records[1].Key = "k", "k"
			for i, r := range b.Append(t.Context(), records) {
				if !errors.Is(r.Err, c.want) || !r.Position.IsZero() || r.Repeated {
					t.Errorf("record %d: %+v", i, r)
				}
			}
			d.set(func() { d.write = nil })
			if r := recovered(t, b, "k", "b"); r.Err != nil || r.Repeated {
				t.Fatalf("got %+v", r)
			}
			f.await(t, b.tip().Minor)
			for range 2 {
				if got := rest(t, b, begin); !slices.Equal(got, []string{"a", "b"}) {
					t.Errorf("got %q", got)
				}
				crash(t, b)
				b = opened(t, dir, o)
			}
			if !slices.Equal(f.texts, []string{"a", "b"}) {
				t.Errorf("Tail gave %q", f.texts)
			}
		})
	}
}

// After a failed sync nothing is appended: what is on the disk is not known, and another sync may lie.
func TestFailingSync(t *testing.T) {
	t.Parallel()
	for name, sync := range map[string]time.Duration{"always": Always, "now and then": time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, d := t.TempDir(), &disk{}
			b := opened(t, dir, quiet(Options{Sync: sync, wrap: d.wrap}))
			f := follow(t, b, 0)
			begin := b.start()
			put(t, b, "a")
			d.set(func() { d.sync = syscall.EIO })
			want := []string{"a"}
			switch err := appendOne(t, b, "", "b").Err; {
			case err == nil && sync != Always:
				want = append(want, "b")
			case errors.Is(err, broker.ErrUnknownOutcome) && sync == Always:
			case errors.Is(err, broker.ErrUnavailable) && errors.Is(err, syscall.EIO) && sync != Always: // the sync of "a" came first
			default:
				t.Errorf("got %v", err)
			}
			brokertest.Eventually(t, "Tail's bad news", func() bool {
				f.mu.Lock()
				defer f.mu.Unlock()
				return errors.Is(f.states[len(f.states)-1], syscall.EIO)
			})
			d.set(func() { d.sync = nil })
			if r := appendOne(t, b, "", "c"); !errors.Is(r.Err, broker.ErrUnavailable) || !errors.Is(r.Err, syscall.EIO) {
				t.Errorf("got %v", r.Err)
			}
			if got := rest(t, b, begin); !slices.Equal(got, want) {
				t.Errorf("got %q", got)
			}
			crash(t, b)
			if sync == Always {
				want = append(want, "b") // written, though never acknowledged
			}
			b = opened(t, dir, quiet(Options{})) // and a restart helps, with a word of what may be missing
			if got := rest(t, b, begin); !slices.Equal(got, append(want, "-")) {
				t.Errorf("got %q", got)
			}
			put(t, b, "d")
		})
	}
}

// If a half written entry cannot be cut off, the log must not go on.
func TestFailingCut(t *testing.T) {
	t.Parallel()
	d := &disk{}
	b := opened(t, t.TempDir(), quiet(Options{wrap: d.wrap}))
	d.set(func() { d.write, d.cut = syscall.EIO, syscall.EIO })
	if r := appendOne(t, b, "", "a"); !errors.Is(r.Err, broker.ErrUnknownOutcome) {
		t.Errorf("got %v", r.Err)
	}
	d.set(func() { d.write, d.cut = nil, nil })
	if r := appendOne(t, b, "", "a"); !errors.Is(r.Err, broker.ErrUnavailable) || errors.Is(r.Err, broker.ErrUnknownOutcome) {
		t.Errorf("got %v", r.Err)
	}
}

// No room for another segment: what was stored stays readable, and the log goes on once there is space.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir, d := t.TempDir(), &disk{}
	o := quiet(Options{wrap: d.wrap, segment: 4 << 10})
	b := opened(t, dir, o)
	begin := b.start()
	d.set(func() { d.allocates = syscall.ENOSPC })
	stored := 0
	for ; ; stored++ {
		if r := appendOne(t, b, "", "x"); errors.Is(r.Err, broker.ErrFull) {
			break
		} else if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	if got := rest(t, b, begin); len(got) != stored || stored == 0 {
		t.Errorf("%d of %d are readable", len(got), stored)
	}
	crash(t, b)

	// A restart on the full disk must not keep the server from coming up.
	for _, f := range files(t, dir) {
		data := readFile(t, f)
		s := segment{first: 1, end: int64(len(data)), salt: b.log.table.Salt}
		if err := s.scan(byteFile(data), s.end, nil); err != nil {
			t.Fatal(err)
		}
		writeFile(t, f, append(data[:s.end], s.footer()...)) // full, so that a new one is needed at once
	}
	b = opened(t, dir, o)
	if r := appendOne(t, b, "", "y"); !errors.Is(r.Err, broker.ErrFull) {
		t.Errorf("got %v", r.Err)
	}
	if got := rest(t, b, begin); len(got) != stored {
		t.Errorf("%d of %d are readable", len(got), stored)
	}
	d.set(func() { d.allocates = nil })
	if r := recovered(t, b, "", "z"); r.Err != nil {
		t.Fatal(r.Err)
	}
	if got := rest(t, b, begin); len(got) != stored+1 || got[stored] != "z" {
		t.Errorf("got %d events, want %d", len(got), stored+1)
	}
}

// A real file system is full, because of other files and of the log itself.
func TestFullFileSystem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := mountSmall(t, dir, 1<<20); err != nil {
		t.Logf("no file system can be mounted (%v): what TestFullDisk injects has to do", err)
		return
	}
	o := quiet(Options{Sync: Never, segment: 128 << 10})
	b := opened(t, filepath.Join(dir, "log"), o)
	begin := b.start()
	ballast := filepath.Join(dir, "ballast")
	writeFile(t, ballast, make([]byte, 500<<10))
	stored := 0
	for ; ; stored++ {
		if r := appendOne(t, b, "", "0123456789"); errors.Is(r.Err, broker.ErrFull) {
			break
		} else if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	for range 2 {
		if got := rest(t, b, begin); len(got) != stored {
			t.Fatalf("%d of %d are readable", len(got), stored)
		}
		crash(t, b)
		b = opened(t, filepath.Join(dir, "log"), o)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if r := recovered(t, b, "", "again"); r.Err != nil {
		t.Fatal(r.Err)
	}
	if got := rest(t, b, begin); got[len(got)-1] != "again" || len(got) < stored+1 {
		t.Errorf("got %d events, the last is %q", len(got), got[len(got)-1])
	}
	crash(t, b)
}

func TestUnusableDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	writeFile(t, path, nil)
	if _, err := Open(filepath.Join(path, "log"), quiet(Options{})); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("got %v", err)
	}
}

// onceFailing is a disk that reports an error only to the first sync, as Linux does.
type onceFailing struct {
	armed          sync.Mutex // locked: no sync fails
	syncs, release chan struct{}
}

type onceFailingFile struct {
	segFile
	disk *onceFailing
}

func (f onceFailingFile) Sync() error {
	if !f.disk.armed.TryLock() {
		return f.segFile.Sync()
	}
	close(f.disk.syncs)
	<-f.disk.release
	return syscall.EIO
}

// A sync in the background meets an error while the writer finishes the same segment: its own sync does not report it.
func TestFailingSyncOfASealedSegment(t *testing.T) {
	t.Parallel()
	d := &onceFailing{syncs: make(chan struct{}), release: make(chan struct{})}
	d.armed.Lock()
	dir := t.TempDir()
	b := opened(t, dir, quiet(Options{
		Sync: time.Millisecond, segment: 4 << 10,
		wrap: func(f segFile) segFile { return onceFailingFile{f, d} },
	}))
	f := follow(t, b, 0)
	begin := b.start()
	put(t, b, "a")
	b.log.mu.Lock()
	old := b.log.current
	b.log.mu.Unlock()
	d.armed.Unlock()
	put(t, b, "b")
	<-d.syncs
	written := make(chan struct{})
	go func() {
		defer close(written)
		for range 8 { // these finish the segment
			appendOne(t, b, "", string(make([]byte, 1000)))
		}
	}()
	brokertest.Eventually(t, "another segment", func() bool {
		b.log.mu.Lock()
		defer b.log.mu.Unlock()
		return len(b.log.segments) > 1 && b.log.current != old
	})
	close(d.release)
	<-written
	brokertest.Eventually(t, "Tail's bad news", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return errors.Is(f.states[len(f.states)-1], syscall.EIO)
	})
	if r := appendOne(t, b, "", "c"); !errors.Is(r.Err, broker.ErrUnavailable) || !errors.Is(r.Err, syscall.EIO) {
		t.Errorf("got %v", r.Err)
	}
	crash(t, b)
	b = opened(t, dir, quiet(Options{}))
	if got := rest(t, b, begin); got[len(got)-1] != "-" {
		t.Errorf("the next life says nothing of what may be missing: %q", got)
	}
}

// An error on close is an error of the disk, too: some file systems write only then.
func TestFailingClose(t *testing.T) {
	t.Parallel()
	d := &disk{}
	b := opened(t, t.TempDir(), quiet(Options{Sync: Never, segment: 4 << 10, wrap: func(f segFile) segFile { return failingClose{f, d} }}))
	d.set(func() { d.sync = syscall.EIO })
	brokertest.Eventually(t, "the log refuses events", func() bool {
		return errors.Is(appendOne(t, b, "", string(make([]byte, 1000))).Err, syscall.EIO)
	})
	if r := appendOne(t, b, "", "a"); !errors.Is(r.Err, broker.ErrUnavailable) {
		t.Errorf("got %v", r.Err)
	}
	d.set(func() { d.sync = nil })
}

type failingClose struct {
	segFile
	disk *disk
}

func (f failingClose) Close() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return errors.Join(f.segFile.Close(), f.disk.sync)
}

// Entries of the life before are synced when a log is opened. If that fails, they may be gone at the next crash.
func TestFailingSyncAtStart(t *testing.T) {
	t.Parallel()
	dir, d := t.TempDir(), &disk{}
	b := opened(t, dir, quiet(Options{}))
	begin := b.start()
	put(t, b, "a")
	crash(t, b)
	d.sync = syscall.EIO
	if _, err := Open(dir, quiet(Options{wrap: d.wrap})); !errors.Is(err, syscall.EIO) {
		t.Fatalf("got %v", err)
	}
	b = opened(t, dir, quiet(Options{}))
	if got := rest(t, b, begin); !slices.Equal(got, []string{"a", "-"}) {
		t.Errorf("got %q", got)
	}
}
