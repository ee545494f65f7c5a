// Package wire_test has clients that others wrote read what internal/sse writes.
package wire_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/rules"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

// events are the hardest that the checks let an app publish.
var events = []sse.Event{
	{Data: []byte("plain")},
	{ID: "1", Type: "order", Data: []byte(`{"n":1}`), Retry: time.Second},
	{Data: []byte("without an id of its own")},
	{Type: "message", Data: []byte("the default type by its name")},
	{ID: "2", Type: "nothing"},
	{ID: "3", Data: []byte("one\ntwo\rthree\r\nfour\n\rsix\r\r\neight")},
	{ID: "4", Data: []byte("\n")},
	{ID: "5", Data: []byte("\r\n\r\n")},
	{ID: "6", Data: []byte("\nblank line first, and last\n")},
	{ID: "7", Data: []byte(" a space first\n  two\n \ntail \t ")},
	{ID: "8", Data: []byte(": colon\nid: 99\n\nevent: forged\ndata: x\nretry: 1\n:")},
	{ID: "9", Data: []byte("\x00 \x01 \x1b[31m \x7f \u0085 \u2028 \u2029 \v\f")},
	{ID: "10", Data: []byte("\uFEFFbyte order mark \uFEFF")},
	{ID: "11", Type: "für 注文 🎉", Data: []byte("für 注文 🎉 e\u0301 \U0010FFFF \uFFFD")},
	{ID: "12", Type: "data", Data: []byte("a type named as a field")},
	{ID: "13", Type: " a:b ", Data: []byte("a type with spaces and a colon")},
	{ID: "14", Type: "constructor", Data: []byte("a type that every JavaScript object has")},
	{ID: "15", Type: strings.Repeat("t", 128), Data: []byte("longest type")},
	{ID: "1700000000000-4~für 注文 🎉", Data: []byte("id of the app")},
	{ID: ": a:b ~ ", Data: []byte("id with spaces and colons")},
	{ID: strings.Repeat("i", 128), Data: []byte("longest id")},
	{ID: "0", Data: []byte("id 0")},
	{ID: "16", Data: []byte(strings.Repeat("0123456789abcde\n", 1<<14))},
	{ID: "17", Data: []byte(strings.Repeat("x", 1<<18))},
	{ID: "18", Data: []byte(strings.Repeat("\n", 1<<12))},
	{ID: "end", Type: "end"},
}

func TestClientsReadEvents(t *testing.T) {
	var stream []byte
	var want []sse.Message
	id := ""
	for _, e := range events {
		check(t, e)
		if e.ID != "" {
			id = e.ID
		}
		m := sse.Message{ID: id, Type: e.Type, Data: normalise(string(e.Data))}
		if m.Type == "" {
			m.Type = "message"
		}
		want = append(want, m)
		stream = e.Append(append(stream, sse.Heartbeat...))
	}

	for name, read := range map[string]client{"go-sse": goSSE, "eventsource": eventSource, "own reader": ownReader} {
		for how, size := range map[string]int{"at once": len(stream), "in pieces": 13} {
			t.Run(name+" "+how, func(t *testing.T) {
				compare(t, read(t, newServer(t, size, stream).URL, types(want)), want)
			})
		}
	}
}

// What a client sends back when it reconnects is the id as it was written.
func TestClientsResume(t *testing.T) {
	ids := []string{"1700000000000-4", "1700000000000-5~order 7: paid", "0-6~für 注文 🎉", "0-7~" + strings.Repeat("i", 128), "0"}
	var streams [][]byte
	var want []sse.Message
	for i, id := range ids {
		e := sse.Event{ID: id, Data: fmt.Append(nil, i), Retry: time.Millisecond}
		check(t, sse.Event{ID: id[strings.IndexByte(id, '~')+1:]})
		streams = append(streams, e.Append(nil))
		want = append(want, sse.Message{ID: id, Type: "message", Data: string(e.Data)})
	}
	streams = append(streams, sse.Event{ID: "end", Type: "end"}.Append(nil))
	want = append(want, sse.Message{ID: "end", Type: "end"})

	for name, read := range map[string]client{"go-sse": goSSE, "eventsource": eventSource} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, 1<<10, streams...)
			compare(t, read(t, s.URL, types(want)), want)
			if got, want := s.lastEventIDs(), append([]string{""}, ids...); !slices.Equal(got, want) {
				t.Errorf("Last-Event-ID of the requests: got %q, want %q", got, want)
			}
		})
	}
}

// server gives its first request the first stream and so on, in pieces; when there are none left, it tells the client to stop.
type server struct {
	*httptest.Server
	streams [][]byte
	size    int

	mu  sync.Mutex // guards ids
	ids []string   // Last-Event-ID of each request
}

func newServer(t *testing.T, size int, streams ...[]byte) *server {
	s := &server{streams: streams, size: size}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	turn := len(s.ids)
	s.ids = append(s.ids, r.Header.Get("Last-Event-ID"))
	s.mu.Unlock()
	if turn >= len(s.streams) {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for piece := range slices.Chunk(s.streams[turn], s.size) {
		if _, err := w.Write(piece); err != nil {
			return
		}
		w.(http.Flusher).Flush()
	}
}

func (s *server) lastEventIDs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ids)
}

func check(t *testing.T, e sse.Event) {
	t.Helper()
	if e.ID != "" && rules.CheckID(e.ID) != nil || e.Type != "" && rules.CheckType(e.Type) != nil || rules.CheckData(e.Data) != nil {
		t.Fatalf("no app could publish %.200q", e)
	}
}

func compare(t *testing.T, got, want []sse.Message) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Errorf("event %d: got %.200q, want %.200q", i, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %d events, want %d", len(got), len(want))
	}
}

func types(messages []sse.Message) []string {
	var all []string
	for _, m := range messages {
		if !slices.Contains(all, m.Type) {
			all = append(all, m.Type)
		}
	}
	return all
}

func normalise(s string) string {
	return strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(s)
}
