package relay

import (
	"errors"
	"io"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/feed"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

// A plain stream passes on what is of the answer, up to what says that the answer is whole, or is not.
func TestPlainFrames(t *testing.T) {
	const connected, event = "event: sse:connected\ndata: {}\nid: 1-1\n\n", "event: token\ndata: a\ndata: b\nid: 1-2~7\n\n"
	for _, c := range []struct {
		name   string
		frames string
		format feed.Format
		want   string
		err    error
	}{
		{"an event stream", connected + event, feed.EventStream, "data: a\ndata: b\nid: 7\n\n", nil},
		{"text", connected + event + event, feed.Text, "a\nba\nb", nil},
		{"what is pushed to the connection", "event: sse:topics\ndata: {}\n\n:\n" + event, feed.Lines, "a\rb\n", nil},
		{"a gap", connected + "event: sse:gap\ndata: {}\n\n" + event, feed.Lines, "", errNotWhole},
		{"a complete answer", event + "event: sse:end\ndata: {\"status\": \"complete\"}\n\n" + event, feed.Lines, "a\rb\n", io.EOF},
		{"a failed one", event + "event: sse:end\ndata: {\"status\": \"failed\"}\n\n", feed.Lines, "a\rb\n", errNotWhole},
		{"an end that cannot be read", event + "event: sse:end\ndata: {\n\n", feed.Lines, "a\rb\n", errNotWhole},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &plain{format: c.format, named: "token", parser: sse.NewParser(0)}
			if got := string(p.take([]byte(c.frames))); got != c.want || !errors.Is(p.err, c.err) {
				t.Errorf("got %q and %v, want %q and %v", got, p.err, c.want, c.err)
			}
		})
	}
}
