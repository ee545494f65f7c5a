package filebroker

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker"
)

// files returns the segments of a log, oldest first.
func files(t testing.TB, dir string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	if err != nil || len(list) == 0 {
		t.Fatalf("no segments: %v", err)
	}
	return list
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A write that was cut short anywhere is cut, and nothing before it.
func TestTornTail(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := quiet(Options{Sync: Never, segment: 64 << 10})
	b := opened(t, dir, o)
	begin := b.start()
	put(t, b, "one", "two")
	whole := b.log.writer.end
	three := put(t, b, "three")
	third := b.log.writer.end
	put(t, b, "four")
	last := b.log.writer.end
	crash(t, b)
	path := files(t, dir)[0]
	segment, table := readFile(t, path), readFile(t, filepath.Join(dir, tableName))

	for _, zeros := range []bool{true, false} { // with allocated room after it, or none
		for cut := whole; cut <= last; cut++ {
			torn := bytes.TrimRight(segment[whole:min(cut, third)], "\x00")
			if cut > third {
				torn = bytes.TrimRight(segment[third:cut], "\x00")
			}
			if cut != third && cut != last && len(torn) > 0 && torn[len(torn)-1] == frameEnd {
				continue // a checksum or a time that looks like a frame's end: to be safe, a gap is told
			}
			data := bytes.Clone(segment[:cut])
			if zeros {
				data = append(data, make([]byte, int64(len(segment))-cut)...)
			}
			writeFile(t, path, data)
			writeFile(t, filepath.Join(dir, tableName), table)
			b := opened(t, dir, o)
			want := []string{"one", "two"}
			if cut >= third {
				want = append(want, "three")
			}
			if cut >= last {
				want = append(want, "four")
			}
			if got := rest(t, b, begin); !slices.Equal(got, want) {
				t.Fatalf("cut at %d of %d: got %q, want %q", cut, last, got, want)
			}
			if s := standing(t, b, three); (s == broker.Exact) != (cut >= third) || s != broker.Exact && s != broker.Lost {
				t.Fatalf("cut at %d: the third event stands %d", cut, s)
			}
			put(t, b, "x")
			if got := rest(t, b, begin); !slices.Equal(got, append(want, "x")) {
				t.Fatalf("cut at %d, and appended: got %q", cut, got)
			}
			crash(t, b)
			b = opened(t, dir, o)
			if got := rest(t, b, begin); !slices.Equal(got, append(want, "x")) {
				t.Fatalf("cut at %d, appended, and opened again: got %q", cut, got)
			}
			crash(t, b)
		}
	}
}

// A flipped bit damages only the entry that it is in, and a hole takes its place.
func TestFlippedBit(t *testing.T) {
	t.Parallel()
	for _, full := range []bool{true, false} {
		t.Run(fmt.Sprintf("full=%t", full), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			o := quiet(Options{Sync: Never, segment: 512})
			b := opened(t, dir, o)
			begin := b.start()
			want := numbered("event ", 6)
			put(t, b, want[:4]...)
			end := b.log.writer.end
			if full {
				put(t, b, numbered("more ", 6)...)
				want = append(want[:4], numbered("more ", 6)...)
			} else {
				want = want[:4]
			}
			tip := b.tip()
			crash(t, b)
			list := files(t, dir)
			if (len(list) > 1) != full {
				t.Fatalf("%d segments", len(list))
			}
			segment, table := readFile(t, list[0]), readFile(t, filepath.Join(dir, tableName))
			if full {
				end = int64(len(segment))
			}
			for at := range end {
				data := bytes.Clone(segment)
				if data[at] ^= 1 << (at % 8); at >= 8 && at < 12 {
					continue // the version: see TestNewerVersion
				}
				writeFile(t, list[0], data)
				writeFile(t, filepath.Join(dir, tableName), table)
				b := opened(t, dir, o)
				got := rest(t, b, begin)
				lost := 0
				for _, text := range want {
					if !slices.Contains(got, text) {
						lost++
					}
				}
				holes := strings.Count(strings.Join(got, "\n"), "-")
				if lost > 1 || lost != holes {
					t.Fatalf("bit %d of byte %d: got %q, want %q", at%8, at, got, want)
				}
				if s := standing(t, b, tip); s != broker.Exact && (full || s != broker.Lost) {
					t.Fatalf("byte %d: the last event stands %d", at, s)
				}
				if got = slices.DeleteFunc(got, func(s string) bool { return s == "-" }); !slices.IsSorted(got) {
					t.Fatalf("byte %d: out of order: %q", at, got)
				}
				crash(t, b)
				for _, f := range files(t, dir)[len(list):] { // what the new life has begun
					_ = os.Remove(f)
				}
			}
		})
	}
}

// An event's data that looks like a frame is not taken for one, even if the frame around it is damaged.
func TestForgedFrame(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := quiet(Options{Sync: Never, segment: 64 << 10})
	b := opened(t, dir, o)
	begin := b.start()
	forged := frame{seq: 2, record: (&broker.Record{Data: []byte("forged")}).Encode(nil)}
	put(t, b, "one")
	second := b.log.writer.end
	put(t, b, string(forged.appendTo(nil, 0)), "three")
	crash(t, b)
	path := files(t, dir)[0]
	data := readFile(t, path)
	data[second+4] ^= 1 // its length, so that the next one has to be searched for
	writeFile(t, path, data)
	b = opened(t, dir, o)
	if got := rest(t, b, begin); !slices.Equal(got, []string{"one", "-", "three"}) {
		t.Errorf("got %q", got)
	}
}

func TestNewerVersion(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(dir string) string{
		"segment": func(dir string) string {
			path := files(t, dir)[0]
			s := segment{first: 1}
			data := append(readFile(t, path)[:0:0], readFile(t, path)...)
			copy(data, s.headerOf(segmentVersion+1))
			writeFile(t, path, data)
			return path
		},
		"table": func(dir string) string {
			tb, _, err := readTable(dir)
			if err != nil {
				t.Fatal(err)
			}
			tb.Version++
			if err := tb.write(dir); err != nil {
				t.Fatal(err)
			}
			return filepath.Join(dir, tableName)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			b := opened(t, dir, quiet(Options{}))
			put(t, b, "x")
			crash(t, b)
			path := change(dir)
			before := readFile(t, path)
			_, err := Open(dir, quiet(Options{}))
			if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "version 2") {
				t.Fatalf("got %v", err)
			}
			if !bytes.Equal(before, readFile(t, path)) {
				t.Error("and it was changed")
			}
		})
	}
}

// Without its table, the log can still be read, but no position is known.
func TestTableMissing(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(path string){
		"removed":   func(path string) { _ = os.Remove(path) },
		"truncated": func(path string) { writeFile(t, path, readFile(t, path)[:20]) },
		"flipped":   func(path string) { data := readFile(t, path); data[len(data)/2] ^= 4; writeFile(t, path, data) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			b := opened(t, dir, quiet(Options{}))
			p := put(t, b, "a", "b")
			crash(t, b)
			damage(filepath.Join(dir, tableName))
			b = opened(t, dir, quiet(Options{}))
			if s := standing(t, b, p); s != broker.Unknown {
				t.Errorf("stands %d", s)
			}
			if got := rest(t, b, b.start()); !slices.Equal(got, []string{"a", "b", "-"}) {
				t.Errorf("got %q", got)
			}
		})
	}
}

// Whatever a segment holds, recovery ends, and the entries that it finds can be read.
// Fuzz it with -fuzzminimizetime 1x: what the goroutines of a log cover differs from run to run.
func FuzzSegment(f *testing.F) {
	s := segment{first: 1, salt: 7}
	data := s.header()
	for i := range 5 {
		fr := frame{seq: uint64(i + 1), time: 1, record: (&broker.Record{Data: []byte("data")}).Encode(nil)}
		data = fr.appendTo(data, s.salt)
	}
	f.Add(data, true)
	f.Add(append(data, make([]byte, 500)...), false)
	f.Add(append(data[:60:60], data[70:]...), false)
	s.end = int64(len(data))
	f.Add(append(data, s.footer()...), true)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte, last bool) {
		old, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range old {
			_ = os.Remove(path)
		}
		writeFile(t, segmentPath(dir, 1), data)
		if !last {
			writeFile(t, segmentPath(dir, 50), (&segment{first: 50, salt: 7}).header())
		}
		b, err := Open(dir, quiet(Options{Sync: Never, segment: 4 << 10}))
		if err != nil {
			if !strings.Contains(err.Error(), "version") {
				t.Fatal(err)
			}
			return
		}
		defer crash(t, b)
		got := rest(t, b, b.start())
		put(t, b, "x")
		if again := rest(t, b, b.start()); len(again) != len(got)+1 || again[len(got)] != "x" {
			t.Fatalf("got %q, and then %q", got, again)
		}
	})
}
