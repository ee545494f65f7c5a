package sse_test

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/sse"
)

func TestEventAppend(t *testing.T) {
	for _, c := range []struct {
		name  string
		event sse.Event
		want  string
	}{
		{"nothing set", sse.Event{}, "data:\n\n"},
		{"data only", sse.Event{Data: []byte("hello")}, "data: hello\n\n"},
		{
			"every field, in order",
			sse.Event{ID: "7~o-1", Type: "order", Data: []byte(`{"n":1}`), Retry: 1500 * time.Millisecond},
			"event: order\nretry: 1500\ndata: {\"n\":1}\nid: 7~o-1\n\n",
		},
		{"the default type is not written", sse.Event{Type: "message", Data: []byte("a")}, "data: a\n\n"},
		{"type and id keep a leading space", sse.Event{ID: " i", Type: " t"}, "event:  t\ndata:\nid:  i\n\n"},
		{"id with a colon", sse.Event{ID: ":a:b"}, "data:\nid: :a:b\n\n"},
		{"LF", sse.Event{Data: []byte("a\nb")}, "data: a\ndata: b\n\n"},
		{"CR", sse.Event{Data: []byte("a\rb")}, "data: a\ndata: b\n\n"},
		{"CRLF", sse.Event{Data: []byte("a\r\nb")}, "data: a\ndata: b\n\n"},
		{"LFCR is two line ends", sse.Event{Data: []byte("a\n\rb")}, "data: a\ndata:\ndata: b\n\n"},
		{"CRCRLF is two line ends", sse.Event{Data: []byte("a\r\r\nb")}, "data: a\ndata:\ndata: b\n\n"},
		{"LF at the end", sse.Event{Data: []byte("a\n")}, "data: a\ndata:\n\n"},
		{"CRLF at the end", sse.Event{Data: []byte("a\r\n")}, "data: a\ndata:\n\n"},
		{"CR at the end", sse.Event{Data: []byte("a\r")}, "data: a\ndata:\n\n"},
		{"only LF", sse.Event{Data: []byte("\n")}, "data:\ndata:\n\n"},
		{"a line that looks like a field", sse.Event{Data: []byte("a\nid: 9\n\nevent: x")}, "data: a\ndata: id: 9\ndata:\ndata: event: x\n\n"},
		{"leading space", sse.Event{Data: []byte(" a\n  b")}, "data:  a\ndata:   b\n\n"},
		{"only a space", sse.Event{Data: []byte(" ")}, "data:  \n\n"},
		{"leading colon", sse.Event{Data: []byte(":a")}, "data: :a\n\n"},
		{"NUL, tab, other line separators", sse.Event{Data: []byte("\x00\t\v\f\u0085\u2028\u2029")}, "data: \x00\t\v\f\u0085\u2028\u2029\n\n"},
		{"byte order mark", sse.Event{Data: []byte("\uFEFFa")}, "data: \uFEFFa\n\n"},
		{"bytes that are no UTF-8 are not touched", sse.Event{Data: []byte("\xff\xfe")}, "data: \xff\xfe\n\n"},
		{"retry of less than a millisecond", sse.Event{Retry: time.Millisecond - 1}, "data:\n\n"},
		{"negative retry", sse.Event{Retry: -time.Second}, "data:\n\n"},
		{"longest retry", sse.Event{Retry: math.MaxInt64}, "retry: 9223372036854\ndata:\n\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := string(c.event.Append(nil))
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestEventAppendKeepsDst(t *testing.T) {
	dst := sse.Event{Data: []byte("a")}.Append([]byte(sse.Heartbeat))
	dst = sse.Event{Data: []byte("b")}.Append(dst)
	if got, want := string(dst), ":\ndata: a\n\ndata: b\n\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestEventAppendLeavesDataAlone(t *testing.T) {
	data := []byte("a\r\nb\rc\n")
	sse.Event{Data: data}.Append(nil)
	if string(data) != "a\r\nb\rc\n" {
		t.Errorf("data became %q", data)
	}
}

func TestEventAppendAllocatesNothing(t *testing.T) {
	for name, e := range map[string]sse.Event{
		"one line":   sample(),
		"many lines": {ID: "1", Type: "t", Data: []byte(strings.Repeat("a\r\nb\rc\n", 100)), Retry: time.Hour},
	} {
		dst := e.Append(nil)
		if n := testing.AllocsPerRun(100, func() { dst = e.Append(dst[:0]) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkEventAppend(b *testing.B) {
	e := sample()
	dst := e.Append(nil)
	b.ReportAllocs()
	b.SetBytes(int64(len(e.Data)))
	for b.Loop() {
		dst = e.Append(dst[:0])
	}
}

func sample() sse.Event {
	return sse.Event{ID: "1700000000000-42~order-1", Type: "order", Data: bytes.Repeat([]byte("0123456789"), 12)}
}
