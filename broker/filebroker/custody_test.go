package filebroker

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

// health returns the last error that State was called with.
func (f *follower) health() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.states[len(f.states)-1]
}

// refuses waits until the log reports why it stores nothing, and checks that it stores nothing.
func refuses(t *testing.T, b *Broker, f *follower, why string) {
	t.Helper()
	brokertest.Eventually(t, "Tail says: "+why, func() bool {
		err := f.health()
		return errors.Is(err, broker.ErrUnavailable) && strings.Contains(err.Error(), why)
	})
	r := appendOne(t, b, "", "refused")
	if !errors.Is(r.Err, broker.ErrUnavailable) || errors.Is(r.Err, broker.ErrUnknownOutcome) || !strings.Contains(r.Err.Error(), why) {
		t.Errorf("appending: %+v, want %q", r, why)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// closed closes a log whose directory is not in order: an error is fine.
func closed(b *Broker) { _ = b.Close() }

var syncModes = map[string]time.Duration{"always": Always, "now and then": time.Millisecond, "never": Never}

// A log whose files are removed while it is open reports that, and stores nothing more.
func TestRemovedWhileOpen(t *testing.T) {
	t.Parallel()
	for what, remove := range map[string]func(dir string) error{
		"directory":      os.RemoveAll,
		"newest segment": func(dir string) error { return os.Remove(segmentPath(dir, 1)) },
		"lock":           func(dir string) error { return os.Remove(filepath.Join(dir, lockName)) },
	} {
		for mode, sync := range syncModes {
			t.Run(what+", sync "+mode, func(t *testing.T) {
				t.Parallel()
				dir := filepath.Join(t.TempDir(), "log")
				b, err := Open(dir, quiet(Options{Sync: sync}))
				must(t, err)
				defer closed(b)
				f := follow(t, b, 0)
				put(t, b, "a")
				must(t, remove(dir))
				if sync == Always {
					if r := appendOne(t, b, "", "b"); !errors.Is(r.Err, broker.ErrUnavailable) {
						t.Errorf("appended although what is synced is lost: %+v", r)
					}
				}
				refuses(t, b, f, "the "+what+" of the file log was removed")
				closed(b)
				b, err = Open(dir, quiet(Options{}))
				must(t, err)
				defer closed(b)
				put(t, b, "and a new start helps")
			})
		}
	}
}

// A directory that is moved away stores nothing meanwhile, and goes on when it is back, with all that it held.
func TestMovedWhileOpen(t *testing.T) {
	t.Parallel()
	for mode, sync := range syncModes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "log")
			b := opened(t, dir, quiet(Options{Sync: sync}))
			f, begin := follow(t, b, 0), b.start()
			put(t, b, "a")
			must(t, os.Rename(dir, dir+".aside"))
			refuses(t, b, f, "was removed")
			must(t, os.Rename(dir+".aside", dir))
			brokertest.Eventually(t, "Tail's good news", func() bool { return f.health() == nil })
			put(t, b, "b")
			for range 2 {
				if got := rest(t, b, begin); !slices.Equal(got, []string{"a", "b"}) {
					t.Errorf("got %q", got)
				}
				crash(t, b)
				b = opened(t, dir, quiet(Options{Sync: sync}))
			}
		})
	}
}

// A copy in the place of the directory, as a backup that is put back, is not written to, nor is anything removed from it.
func TestReplacedWhileOpen(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "log")
	b, err := Open(dir, quiet(Options{Sync: Never, segment: 4 << 10, MaxAge: time.Second}))
	must(t, err)
	defer closed(b)
	f := follow(t, b, 0)
	put(t, b, numbered(strings.Repeat("x", 500), 20)...)
	must(t, os.Rename(dir, dir+".aside"))
	must(t, os.CopyFS(dir, os.DirFS(dir+".aside")))
	listing := func() (names []string) {
		t.Helper()
		entries, err := os.ReadDir(dir)
		must(t, err)
		for _, e := range entries {
			info, err := e.Info()
			must(t, err)
			names = append(names, e.Name()+" "+info.ModTime().String())
		}
		return names
	}
	before := listing()
	refuses(t, b, f, "the directory of the file log was replaced")
	for end := time.Now().Add(1500 * time.Millisecond); time.Now().Before(end); time.Sleep(time.Millisecond) {
		appendOne(t, b, "", strings.Repeat("y", 500)) // by the end, all would be too old
	}
	closed(b)
	if after := listing(); !slices.Equal(before, after) {
		t.Errorf("the copy was changed:\n%q\n%q", before, after)
	}
}

// The table of epochs is written again, so that positions still count after a restart.
func TestTableRemovedWhileOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := opened(t, dir, quiet(Options{}))
	p := put(t, b, "a")
	must(t, os.Remove(filepath.Join(dir, tableName)))
	brokertest.Eventually(t, "the table is back", func() bool {
		_, known, err := readTable(dir)
		return known && err == nil
	})
	crash(t, b)
	b = opened(t, dir, quiet(Options{}))
	if s := standing(t, b, p); s != broker.Exact {
		t.Errorf("the position stands %d", s)
	}
}

// While the disk takes nothing, the log reports that. It notices by itself that the disk works again: a load balancer may have
// taken the node out, so that no publish reaches it.
func TestAilingDisk(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		error
		set func(d *disk, err error)
	}{
		"a write fails":  {syscall.EIO, func(d *disk, err error) { d.write = err }},
		"no permission":  {syscall.EACCES, func(d *disk, err error) { d.write = err }},
		"no new segment": {syscall.EIO, func(d *disk, err error) { d.allocates = err }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := &disk{}
			b := opened(t, t.TempDir(), quiet(Options{segment: 4 << 10, wrap: d.wrap}))
			f, begin := follow(t, b, 0), b.start()
			put(t, b, "a")
			d.set(func() { c.set(d, c.error) })
			brokertest.Eventually(t, "events are refused", func() bool { return appendOne(t, b, "", strings.Repeat("x", 500)).Err != nil })
			refuses(t, b, f, c.Error())
			stored := len(rest(t, b, begin))
			d.set(func() { c.set(d, nil) })
			brokertest.Eventually(t, "Tail's good news", func() bool { return f.health() == nil })
			put(t, b, "b")
			if got := rest(t, b, begin); len(got) != stored+1 || got[stored] != "b" {
				t.Errorf("got %d events, want %d", len(got), stored+1)
			}
		})
	}
}

// A full disk is told to publishers, not to the load balancer: clients that are connected lose nothing.
func TestFullDiskIsHealthy(t *testing.T) {
	t.Parallel()
	d := &disk{}
	b := opened(t, t.TempDir(), quiet(Options{wrap: d.wrap}))
	f := follow(t, b, 0)
	d.set(func() { d.write = syscall.ENOSPC })
	for end := time.Now().Add(lookEvery + lookEvery/2); time.Now().Before(end); time.Sleep(fullPause) {
		if r := appendOne(t, b, "", "a"); !errors.Is(r.Err, broker.ErrFull) {
			t.Fatalf("got %v", r.Err)
		}
	}
	if err := f.health(); err != nil {
		t.Errorf("got %v", err)
	}
}
