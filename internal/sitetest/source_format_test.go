package sitetest_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

// What frameworks write when they stream events, and what a client that listens to it as a shared source gets. It is the same as
// without the proxy between, but for ids.
var frameworks = []struct {
	name   string
	header http.Header
	writes []string // each is flushed
	want   []sse.Message
}{
	{
		// response()->eventStream() of Laravel 13: Illuminate\Routing\ResponseFactory. Each event has a name; what is neither a string
		// nor a number is JSON, with < and > escaped. The stream ends with </stream>.
		name: "Laravel",
		header: http.Header{
			"Content-Type": {"text/event-stream; charset=UTF-8"}, "Cache-Control": {"no-cache, private"}, "X-Accel-Buffering": {"no"},
		},
		writes: []string{
			"event: update\ndata: hello\n\n", "event: update\ndata: 7\n\n", "event: update\ndata: {\"html\":\"\\u003Cb\\u003E\"}\n\n",
			"event: price\ndata: {\"pear\":7.25}\n\n", "event: update\ndata: first line\nsecond line\n\n", "event: update\ndata: \n\n",
			"event: update\ndata: </stream>\n\n",
		},
		want: []sse.Message{
			{Type: "update", Data: "hello"}, {Type: "update", Data: "7"}, {Type: "update", Data: `{"html":"\u003Cb\u003E"}`},
			{Type: "price", Data: `{"pear":7.25}`}, {Type: "update", Data: "first line"}, {Type: "update"}, {Type: "update", Data: "</stream>"},
		},
	},
	{
		// EventStreamResponse of Symfony 7.3 and later: Symfony\Component\HttpFoundation. The fields of a ServerEvent are written in the
		// order comment, id, retry, event, then each line of data, then the empty line, flushed one by one. An event without data is none.
		name: "Symfony",
		header: http.Header{
			"Content-Type": {"text/event-stream; charset=UTF-8"}, "Cache-Control": {"max-age=0, must-revalidate, no-cache, no-store, private"},
			"X-Accel-Buffering": {"no"}, "Pragma": {"no-cache"}, "Expire": {"0"},
		},
		writes: []string{
			"data: 1700000000\n", "\n",
			": a comment\nid: 41\nretry: 1000\nevent: tick\n", "data: one\n", "data: two\n", "\n",
			"event: empty\n", "\n",
			"id: 42\nevent: tick\n", "data: three\n", "\n",
			"event: tick\n", "data: four\n", "\n",
		},
		want: []sse.Message{
			{Type: "message", Data: "1700000000"}, {Type: "tick", Data: "one\ntwo", ID: "41"}, {Type: "tick", Data: "three", ID: "42"},
			{Type: "tick", Data: "four", ID: "42"},
		},
	},
	{
		// The loop of most tutorials, and a keep-alive in between.
		name:   "a PHP loop",
		header: http.Header{"Content-Type": {"text/event-stream;charset=UTF-8"}, "Cache-Control": {"no-cache"}},
		writes: []string{"data: The server time is: 12:00:00\n\n", ":\n\n", "retry: 10000\n", "data: The server time is: 12:00:01\n\n"},
		want:   []sse.Message{{Type: "message", Data: "The server time is: 12:00:00"}, {Type: "message", Data: "The server time is: 12:00:01"}},
	},
}

func TestSourceOfFrameworks(t *testing.T) {
	for _, f := range frameworks {
		t.Run(f.name, func(t *testing.T) {
			app, begin := sitetest.NewStreamer(t), make(chan bool)
			app.Answer = func(w http.ResponseWriter, r *http.Request) bool {
				for name, lines := range f.header {
					w.Header()[name] = lines
				}
				flush := http.NewResponseController(w).Flush
				w.WriteHeader(http.StatusOK)
				_ = flush()
				<-begin // until the client listens, so that it hears each event
				for _, text := range f.writes {
					_, _ = io.WriteString(w, text)
					_ = flush()
				}
				<-r.Context().Done()
				return true
			}
			s := sitetest.Serve(t, shared(app, "", "share everyone"))
			c := s.Open("/clock")
			close(begin)
			for _, want := range f.want {
				got := c.Next()
				position, id, _ := strings.Cut(got.ID, "~")
				if got.Type != want.Type || got.Data != want.Data || id != want.ID || position == "" {
					t.Errorf("got %+v, want %+v", got, want)
				}
			}
		})
	}
}
