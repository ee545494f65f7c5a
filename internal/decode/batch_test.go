package decode

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/sse-push/caddy-sse-push/broker"
)

func TestDecodeBatch(t *testing.T) {
	items := []string{
		`{"user":"a"}`,
		`{"data":"x"}`,
		`12`,
		`[{"user":"b"}]`,
		`{"user":"b","data":"` + strings.Repeat("x", testMost+1) + `"}`,
		`{"user":"b","bogus":{"x":[1,"]}"]}}`,
		`{"user":"b","data":{"x":[1,"]}"]}}`,
	}
	check := func(t *testing.T, got []decoded) {
		t.Helper()
		want := []struct {
			status int
			field  string
			detail string
		}{{0, "", ""}, {400, "", "no target"}, {400, "", "got a number"}, {400, "", "got an array"}, {413, "data", "1000 bytes"}, {400, "bogus", "unknown"}, {0, "", ""}}
		if len(got) != len(want) {
			t.Fatalf("%d items, want %d", len(got), len(want))
		}
		for i, w := range want {
			if w.status == 0 {
				if got[i].p != nil {
					t.Errorf("item %d: %v", i, got[i].p)
				}
				continue
			}
			wantProblem(t, got[i].p, w.status, w.field, w.detail)
			if got[i].p.Index == nil || *got[i].p.Index != i {
				t.Errorf("item %d has the index %v", i, got[i].p.Index)
			}
		}
		if string(got[6].rec.Data) != `{"x":[1,"]}"]}` {
			t.Errorf("data %s", got[6].rec.Data)
		}
	}
	t.Run("array", func(t *testing.T) {
		got, p := decodeAll(posted(asJSON, "", "["+strings.Join(items, ", ")+"]"), testMost)
		if p != nil {
			t.Fatal(p)
		}
		check(t, got)
	})
	t.Run("lines", func(t *testing.T) {
		got, p := decodeAll(posted(asLines, "", strings.Join(items, "\n\n")), testMost)
		if p != nil {
			t.Fatal(p)
		}
		check(t, got)
	})
}

func TestDecodeLines(t *testing.T) {
	long := `{"user":"u","data":"` + strings.Repeat("x", 3*testMost+64<<10) + `"}`
	for _, c := range []struct {
		name   string
		body   string
		items  []string // user, or a fragment of the problem after "!"
		status int      // of what ends it early
		index  int
	}{
		{"broken line", "{\"user\":\"a\"}\n{\"user\":\n{\"user\":\"b\"}\n", []string{"a", "!invalid JSON", "b"}, 0, 0},
		{"invalid UTF-8 in a line", "{\"user\":\"\xff\"}\n{\"user\":\"b\"}\n", []string{"!valid UTF-8", "b"}, 0, 0},
		{"two values in a line", "{\"user\":\"a\"}{\"user\":\"b\"}\n{\"user\":\"c\"}", []string{"!after top-level", "c"}, 0, 0},
		{"truncated last line", "{\"user\":\"a\"}\n{\"user\":\"b", []string{"a", "!unexpected end"}, 0, 0},
		{"whole last line", "{\"user\":\"a\"}\n{\"user\":\"b\"}", []string{"a", "b"}, 0, 0},
		{"depth bomb", strings.Repeat("[", 20_000) + "\n{\"user\":\"b\"}", []string{"!max depth", "b"}, 0, 0},
		{"line too long", "{\"user\":\"a\"}\n" + long + "\n{\"user\":\"b\"}\n", []string{"a"}, 413, 1},
		{"last line too long", long, nil, 413, 0},
		{"long line that fits", `{"user":"a"}` + strings.Repeat(" ", 3*testMost+64<<10-12) + "\n{\"user\":\"b\"}", []string{"a", "b"}, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, body := range map[string]io.Reader{
				"whole":    strings.NewReader(c.body),
				"in bytes": iotest.OneByteReader(strings.NewReader(c.body)),
				"with EOF": iotest.DataErrReader(strings.NewReader(c.body)),
			} {
				r := posted(asLines, "", "")
				r.Body, r.ContentLength = io.NopCloser(body), -1
				items, p := decodeAll(r, testMost)
				if len(items) != len(c.items) {
					t.Fatalf("%s: %d items, want %d", name, len(items), len(c.items))
				}
				for i, want := range c.items {
					if bad, ok := strings.CutPrefix(want, "!"); ok {
						wantProblem(t, items[i].p, 400, "", bad)
						if *items[i].p.Index != i {
							t.Errorf("%s: item %d has the index %d", name, i, *items[i].p.Index)
						}
					} else if items[i].p != nil || items[i].rec.Targets[0].Name != want {
						t.Errorf("%s: item %d: %v %v, want %s", name, i, items[i].rec, items[i].p, want)
					}
				}
				if (p == nil) != (c.status == 0) || p != nil && (p.Status != c.status || *p.Index != c.index) {
					t.Errorf("%s: ends with %v, want %d at %d", name, p, c.status, c.index)
				}
			}
		})
	}
}

// Lines are handed out as they come, and a record does not change with the lines behind it.
func TestDecodeLinesStream(t *testing.T) {
	pr, pw := io.Pipe()
	r := posted(asLines, "", "")
	r.Body, r.ContentLength = pr, -1
	d, p := New(r, testMost)
	if p != nil {
		t.Fatal(p)
	}
	if d.Ready() {
		t.Error("ready without a line")
	}
	var recs []broker.Record
	for i := range 3 {
		go fmt.Fprintf(pw, "{\"user\":\"u%d\",\"data\":{\"n\":%d}}\n{\"user\":\"x\"}\n{\"us", i, i)
		for j := range 2 {
			rec, p, ok := d.Next() // the pipe has no buffer: this returns only if it does not wait for more
			if p != nil || !ok {
				t.Fatal(p, ok)
			}
			if j == 0 {
				recs = append(recs, rec)
				if !d.Ready() {
					t.Error("not ready with a line read")
				}
			} else if d.Ready() {
				t.Error("ready with half a line")
			}
		}
		go io.WriteString(pw, "er\":\"x\"}\n")
		if _, p, ok := d.Next(); p != nil || !ok {
			t.Fatal(p, ok)
		}
	}
	pw.Close()
	if _, p, ok := d.Next(); p != nil || ok {
		t.Errorf("at the end: %v, %v", p, ok)
	}
	if !d.Ready() {
		t.Error("not ready at the end")
	}
	for i, rec := range recs {
		if rec.Targets[0].Name != fmt.Sprintf("u%d", i) || string(rec.Data) != fmt.Sprintf(`{"n":%d}`, i) {
			t.Errorf("record %d became %+v", i, rec)
		}
	}
}

func TestDecodeManyItems(t *testing.T) {
	const line = "{\"user\":\"u\"}\n"
	full := strings.Repeat(line, maxBatchItems)
	for _, c := range []struct {
		name, kind, body string
		items            int
		status           int
	}{
		{"lines", asLines, full + "\n\n", maxBatchItems, 0},
		{"one line more", asLines, full + line + line, maxBatchItems, 413},
		{"array", asJSON, "[" + strings.ReplaceAll(full[:len(full)-1], "\n", ",") + "]", maxBatchItems, 0},
		{"one item more", asJSON, "[" + strings.ReplaceAll(full, "\n", ",") + line + "]", 0, 413},
	} {
		items, p := decodeAll(posted(c.kind, "", c.body), testMost)
		if len(items) != c.items || (p == nil) != (c.status == 0) || p != nil && p.Status != c.status {
			t.Errorf("%s: %d items, %v; want %d and %d", c.name, len(items), p, c.items, c.status)
		}
		if p != nil && c.kind == asLines && (p.Index == nil || *p.Index != maxBatchItems) {
			t.Errorf("%s: index %v", c.name, p.Index)
		}
	}
}
