package sse_test

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sse-push/caddy-sse-push/internal/rules"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

// An event that passes the checks is read as it was written, except for the kind of its line ends.
func FuzzRoundTrip(f *testing.F) {
	f.Add("1-2~a", "order", []byte(`{"n":1}`), int64(1500))
	f.Add("", "", []byte(""), int64(0))
	f.Add(" ", "message", []byte(" a\r\n\rb\n"), int64(-1))
	f.Add(":", "data", []byte("\r"), int64(1))
	f.Add("注文", "für", []byte("\uFEFF\x00\u2028 \n\n"), int64(9223372036854))
	f.Fuzz(func(t *testing.T, id, name string, data []byte, ms int64) {
		if id != "" && rules.CheckID(id) != nil || name != "" && rules.CheckType(name) != nil || rules.CheckData(data) != nil {
			return
		}
		if ms < 0 || ms > int64(time.Hour*24*365/time.Millisecond) {
			ms = 0
		}
		e := sse.Event{ID: id, Type: name, Data: data, Retry: time.Duration(ms) * time.Millisecond}
		block := e.Append(nil)

		want := sse.Message{ID: id, Type: name, Data: normalise(string(data))}
		if name == "" {
			want.Type = "message"
		}
		// With other events before and after it, which shows that the event ends where its block does.
		r := sse.NewReader(io.MultiReader(strings.NewReader(sse.Heartbeat), bytes.NewReader(block), strings.NewReader("data: next\n\n")), 0)
		if got, err := r.Next(); got != want || err != nil {
			t.Errorf("%q: got %q, %v, want %q", block, got, err, want)
		}
		if r.Retry() != e.Retry {
			t.Errorf("%q: retry %v, want %v", block, r.Retry(), e.Retry)
		}
		if got, err := r.Next(); got != (sse.Message{ID: id, Type: "message", Data: "next"}) || err != nil {
			t.Errorf("%q: the next event came as %q, %v", block, got, err)
		}
	})
}

// However a stream is cut into reads, the Reader returns the same events, and these are the ones that a slow and simple reader returns. A
// Parser that is fed with the same pieces sees them, too.
func FuzzReader(f *testing.F) {
	for _, in := range []string{
		"",
		"\uFEFFevent: a\r\ndata: b\r\nid: 1\r\nretry: 20\r\n\r\n",
		"data: a\r\rdata\n\n:c\n\ndata: lost",
		"id: 1\x00\nid\nid: 2\n\ndata: \xff\xe2\x82\n\n",
		"data: a\n\r\n\rdata:  b\r\n\ndata\ndata\n\n",
		"retry: 1\nretry: x\n: a\x00\ndata: 01234567890123456789\n\n",
		"\uFEFF\n\uFEFFdata: a\n\n",
	} {
		f.Add([]byte(in), uint16(0), []byte{1})
		f.Add([]byte(in), uint16(16), []byte{3, 1, 4})
	}
	f.Fuzz(func(t *testing.T, in []byte, limit uint16, cuts []byte) {
		whole := observe(bytes.NewReader(in), int(limit))
		if whole.err != io.EOF && whole.err != sse.ErrTooLong {
			t.Fatalf("error %v", whole.err)
		}
		for _, m := range whole.messages {
			if !utf8.ValidString(m.ID + m.Type + m.Data) {
				t.Errorf("%q is not UTF-8", m)
			}
		}
		parts := observe(&cutReader{in: in, cuts: cuts}, int(limit))
		if !whole.equal(parts) {
			t.Errorf("at once %+v, in parts %+v", whole, parts)
		}

		if fed := feed(&cutReader{in: in, cuts: cuts}, int(limit)); !whole.equal(fed) {
			t.Errorf("read %+v, fed %+v", whole, fed)
		}

		if limit == 0 && utf8.Valid(in) {
			if want := interpret(string(in)); !slices.Equal(whole.messages, want) {
				t.Errorf("got %q, want %q", whole.messages, want)
			}
		}
	})
}

type observation struct {
	messages []sse.Message
	comments []string
	lastID   string
	retry    time.Duration
	err      error
}

func (o observation) equal(p observation) bool {
	return slices.Equal(o.messages, p.messages) && slices.Equal(o.comments, p.comments) &&
		o.lastID == p.lastID && o.retry == p.retry && o.err == p.err
}

func observe(src io.Reader, limit int) observation {
	var o observation
	r := sse.NewReader(src, limit)
	r.Comment = func(text string) { o.comments = append(o.comments, text) }
	o.messages, o.err = readAll(r)
	o.lastID, o.retry = r.LastEventID(), r.Retry()
	return o
}

// feed observes what a Parser makes of src.
func feed(src io.Reader, limit int) observation {
	var o observation
	p := sse.NewParser(limit)
	p.Comment = func(text string) { o.comments = append(o.comments, text) }
	buf := make([]byte, 4096)
	for o.err == nil {
		n, err := src.Read(buf)
		o.err = p.Feed(buf[:n], func(m sse.Message) error {
			o.messages = append(o.messages, m)
			return nil
		})
		if o.err == nil {
			o.err = err
		}
	}
	o.lastID, o.retry = p.LastEventID(), p.Retry()
	return o
}

// cutReader hands out its input in parts of the lengths in cuts, over and over; a length of 0 is an empty read.
type cutReader struct {
	in, cuts []byte
	turn     int
}

func (r *cutReader) Read(p []byte) (int, error) {
	if len(r.in) == 0 {
		return 0, io.EOF
	}
	n := 1
	// No more empty reads in a row than a Reader accepts.
	if len(r.cuts) > 0 && r.turn%50 != 0 {
		n = int(r.cuts[r.turn%len(r.cuts)])
	}
	r.turn++
	n = copy(p, r.in[:min(n, len(r.in))])
	r.in = r.in[n:]
	return n, nil
}

// interpret is that simple reader. It has the whole stream, so that reads cannot cut a line or a CRLF.
func interpret(stream string) []sse.Message {
	var all []sse.Message
	var id, name string
	var data []string
	lines := strings.Split(normalise(strings.TrimPrefix(stream, "\uFEFF")), "\n")
	for _, line := range lines[:len(lines)-1] { // the last one has no end
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			if name == "" {
				name = "message"
			}
			if data != nil {
				all = append(all, sse.Message{ID: id, Type: name, Data: strings.Join(data, "\n")})
			}
			name, data = "", nil
		case field == "data":
			data = append(data, value)
		case field == "event":
			name = value
		case field == "id" && !strings.Contains(value, "\x00"):
			id = value
		}
	}
	return all
}

func normalise(s string) string {
	return strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(s)
}
