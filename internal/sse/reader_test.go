package sse_test

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/sse"
)

// The first group is modelled on the example streams of WHATWG HTML, section 9.2.6.
func TestReader(t *testing.T) {
	type messages = []sse.Message
	for _, c := range []struct {
		name, in string
		want     messages
		lastID   string
	}{
		{
			name: "three lines are one message",
			in:   "data: north\ndata: +3\ndata: 40\n\n",
			want: messages{{Type: "message", Data: "north\n+3\n40"}},
		},
		{
			name: "comment, id, id reset by an empty one, second space kept, no blank line at the end",
			in:   ": probe\n\ndata: one\nid: 1\n\ndata:two\nid\n\ndata:  three\n\ndata: lost\n",
			want: messages{{ID: "1", Type: "message", Data: "one"}, {Type: "message", Data: "two"}, {Type: "message", Data: " three"}},
		},
		{
			name: "data without a value is empty data, two of them are one LF, the last has no blank line",
			in:   "data\n\ndata\ndata\n\ndata:",
			want: messages{{Type: "message"}, {Type: "message", Data: "\n"}},
		},
		{
			name: "one space after the colon makes no difference",
			in:   "data:same\n\ndata: same\n\n",
			want: messages{{Type: "message", Data: "same"}, {Type: "message", Data: "same"}},
		},

		{name: "empty stream"},
		{name: "only blank lines", in: "\n\r\n\r\n\n\n"},
		{
			name: "named events",
			in:   "event: add\ndata: 1\n\nevent:remove\ndata: 2\n\ndata: 3\n\n",
			want: messages{{Type: "add", Data: "1"}, {Type: "remove", Data: "2"}, {Type: "message", Data: "3"}},
		},
		{
			name: "the last event field counts, an empty one is the default",
			in:   "event: a\nevent: b\ndata\n\nevent: a\nevent\ndata\n\n",
			want: messages{{Type: "b"}, {Type: "message"}},
		},
		{
			name: "a block without data is no event and forgets its type",
			in:   "event: a\n\ndata: x\n\n",
			want: messages{{Type: "message", Data: "x"}},
		},
		{
			name:   "a block without data sets the id",
			in:     "id: 5\n\ndata: x\n\nid: 6\n\n",
			want:   messages{{ID: "5", Type: "message", Data: "x"}},
			lastID: "6",
		},
		{
			name:   "an id stays in force, and an unfinished block sets none",
			in:     "data: a\nid: 1\n\ndata: b\n\nid: 2\ndata: c\n",
			want:   messages{{ID: "1", Type: "message", Data: "a"}, {ID: "1", Type: "message", Data: "b"}},
			lastID: "1",
		},
		{
			name:   "an id with NUL is ignored",
			in:     "id: 1\nid: 2\x003\ndata: a\n\n",
			want:   messages{{ID: "1", Type: "message", Data: "a"}},
			lastID: "1",
		},
		{
			name:   "every line end",
			in:     "data: a\rdata: b\ndata: c\r\nid: 1\r\n\r\ndata: d\r\rdata: e\n\n",
			want:   messages{{ID: "1", Type: "message", Data: "a\nb\nc"}, {ID: "1", Type: "message", Data: "d"}, {ID: "1", Type: "message", Data: "e"}},
			lastID: "1",
		},
		{
			name: "LF and then CR are two line ends",
			in:   "data: a\n\rdata: b\n\n",
			want: messages{{Type: "message", Data: "a"}, {Type: "message", Data: "b"}},
		},
		{
			name: "one byte order mark is dropped, at the start only",
			in:   "\uFEFFdata: a\n\n\uFEFFdata: b\n\ndata: \uFEFFc\n\n",
			want: messages{{Type: "message", Data: "a"}, {Type: "message", Data: "\uFEFFc"}},
		},
		{
			name: "two byte order marks make an unknown field",
			in:   "\uFEFF\uFEFFdata: a\n\ndata: b\n\n",
			want: messages{{Type: "message", Data: "b"}},
		},
		{
			name: "unknown fields, names in capitals or with a space are ignored",
			in:   "Data: a\ndata : b\n data: c\nfoo: d\nfoo\ndata: e\n\n",
			want: messages{{Type: "message", Data: "e"}},
		},
		{
			name: "comments and heartbeats between and within events",
			in:   ":\n:\ndata: a\n: b\n:data: c\ndata: d\n\n:\n",
			want: messages{{Type: "message", Data: "a\nd"}},
		},
		{
			name: "colons and NUL in a value",
			in:   "data:: a:b\ndata: \x00\n\n",
			want: messages{{Type: "message", Data: ": a:b\n\x00"}},
		},
		{
			name:   "invalid UTF-8 is replaced, once for each character begun",
			in:     "event: \xff\xffa\nid: \xe2\x82\ndata: \xf0\x9f\x8e|\xed\xa0\x80|\xe2\x82\xac|\xc0\xaf|\uFFFD\n\n",
			want:   messages{{ID: "\uFFFD", Type: "\uFFFD\uFFFDa", Data: "\uFFFD|\uFFFD\uFFFD\uFFFD|€|\uFFFD\uFFFD|\uFFFD"}},
			lastID: "\uFFFD",
		},
		{
			name: "longer than the read buffer",
			in:   "data: " + strings.Repeat("x", 10_000) + "\ndata: y\n\n",
			want: messages{{Type: "message", Data: strings.Repeat("x", 10_000) + "\ny"}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			for how, src := range map[string]io.Reader{
				"at once":       strings.NewReader(c.in),
				"byte by byte":  iotest.OneByteReader(strings.NewReader(c.in)),
				"EOF with data": iotest.DataErrReader(strings.NewReader(c.in)),
			} {
				r := sse.NewReader(src, 0)
				got, err := readAll(r)
				if !slices.Equal(got, c.want) {
					t.Errorf("%s: got %q, want %q", how, got, c.want)
				}
				if err != io.EOF {
					t.Errorf("%s: got error %v, want EOF", how, err)
				}
				if id := r.LastEventID(); id != c.lastID {
					t.Errorf("%s: last event id %q, want %q", how, id, c.lastID)
				}
			}
		})
	}
}

func TestReaderRetry(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"":                                  0,
		"retry: 1500\n":                     1500 * time.Millisecond, // applies at once, even without an event
		"retry:20\nretry: 30\n":             30 * time.Millisecond,
		"retry: 20\nretry: 0\n":             0,
		"retry: 007\n":                      7 * time.Millisecond,
		"retry: 20\nretry\n":                20 * time.Millisecond,
		"retry: 20\nretry: -1\n":            20 * time.Millisecond,
		"retry: 20\nretry: +1\n":            20 * time.Millisecond,
		"retry: 20\nretry: 1.5\n":           20 * time.Millisecond,
		"retry: 20\nretry:  1\n":            20 * time.Millisecond,
		"retry: 20\nretry: 1s\n":            20 * time.Millisecond,
		"retry: 20\nretry: ٣\n":             20 * time.Millisecond,
		"retry: 20\nretry: 9223372036855\n": 20 * time.Millisecond, // a millisecond more than a Duration can hold
		"retry: 9223372036854\n":            9223372036854 * time.Millisecond,
		"retry: 20\nretry: " + "9999999999999999999999\n": 20 * time.Millisecond,
		"retry: 20\nretry: 30":                            20 * time.Millisecond, // not a whole line
	} {
		r := sse.NewReader(strings.NewReader(in), 0)
		if _, err := r.Next(); err != io.EOF {
			t.Errorf("%q: got error %v, want EOF", in, err)
		}
		if got := r.Retry(); got != want {
			t.Errorf("%q: retry %v, want %v", in, got, want)
		}
	}
}

// An event must be returned before anything after it is read, even if an LF may follow its CR.
func TestReaderDoesNotWait(t *testing.T) {
	tooEarly := errors.New("read on before the event was returned")
	for _, blank := range []string{"\n\n", "\r\r", "\r\n\r", "\n\r", "\r\n\r\n"} {
		src := &stepReader{err: tooEarly}
		r := sse.NewReader(src, 0)
		for _, want := range []string{"a", "b"} {
			src.now = "\ndata: " + want + blank
			if m, err := r.Next(); m.Data != want || err != nil {
				t.Errorf("blank line %q: got %q, %v, want %q", blank, m.Data, err, want)
			}
		}
	}
}

// stepReader returns its bytes, and then its error.
type stepReader struct {
	now string
	err error
}

func (r *stepReader) Read(p []byte) (int, error) {
	if r.now == "" {
		return 0, r.err
	}
	n := copy(p, r.now)
	r.now = r.now[n:]
	return n, nil
}

func TestReaderComment(t *testing.T) {
	var got []string
	r := sse.NewReader(strings.NewReader(sse.Heartbeat+": hello\r\n:\r:a:b\ndata: x\n\n:\xff\n:unfinished"), 0)
	r.Comment = func(text string) { got = append(got, text) }

	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if want := []string{"", " hello", "", "a:b"}; !slices.Equal(got, want) {
		t.Errorf("before the event: got %q, want %q", got, want)
	}
	if _, err := r.Next(); err != io.EOF {
		t.Fatalf("got error %v, want EOF", err)
	}
	if want := []string{"\uFFFD"}; !slices.Equal(got[4:], want) {
		t.Errorf("after the event: got %q, want %q", got[4:], want)
	}
}

func TestReaderTooLong(t *testing.T) {
	const limit = 16
	for _, c := range []struct {
		name, in string
		want     int // messages before the error
		tooLong  bool
	}{
		{"longest line", "data: 6789012345\n\n", 1, false},
		{"line over the limit", "data: 67890123456\n\n", 0, true},
		{"line over the limit that never ends", "data: a\n\ndata: 67890123456", 1, true},
		{"comment over the limit", ":234567890123456x\n", 0, true},
		{"longest data", "data: 23456789\ndata: 2345678\n\n", 1, false},
		{"data over the limit", "data: 23456789\ndata: 23456789\n\n", 0, true},
		{"an event after another does not add up", strings.Repeat("data: 123456789\n\n", 9), 9, false},
		{"heartbeats do not add up", strings.Repeat(":\n", 100) + "data: a\n\n", 1, false},
		{"blank data lines add up", strings.Repeat("data\n", 100) + "\n", 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := sse.NewReader(strings.NewReader(c.in), limit)
			got, err := readAll(r)
			if len(got) != c.want {
				t.Errorf("got %d messages, want %d", len(got), c.want)
			}
			want := io.EOF
			if c.tooLong {
				want = sse.ErrTooLong
			}
			if !errors.Is(err, want) {
				t.Errorf("got error %v, want %v", err, want)
			}
			if _, again := r.Next(); again != err {
				t.Errorf("then error %v, want it to stay %v", again, err)
			}
		})
	}
}

func TestReaderReturnsErrorOfSource(t *testing.T) {
	broken := errors.New("broken")
	r := sse.NewReader(io.MultiReader(strings.NewReader("data: a\n\ndata: b\n"), iotest.ErrReader(broken)), 0)
	got, err := readAll(r)
	if len(got) != 1 || err != broken {
		t.Errorf("got %d messages and error %v, want 1 and %v", len(got), err, broken)
	}
	if _, err := r.Next(); err != broken {
		t.Errorf("then error %v, want it to stay %v", err, broken)
	}
}

func TestReaderGivesUpOnSourceWithoutProgress(t *testing.T) {
	if _, err := sse.NewReader(silent{}, 0).Next(); err != io.ErrNoProgress {
		t.Errorf("got error %v, want %v", err, io.ErrNoProgress)
	}
}

type silent struct{}

func (silent) Read([]byte) (int, error) { return 0, nil }

func readAll(r *sse.Reader) ([]sse.Message, error) {
	var all []sse.Message
	for {
		m, err := r.Next()
		if err != nil {
			return all, err
		}
		all = append(all, m)
	}
}
