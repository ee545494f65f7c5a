package upstream

import (
	"bytes"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-push/caddy-sse-push/internal/sse"
)

// maxFirstEvents bounds the events that an app sends as its answer to a subscribe request, in bytes.
const maxFirstEvents = 256 << 10

// firstEvents is the body of an app's answer: the events that a stream begins with.
type firstEvents struct {
	bytes.Buffer
	over bool // whether some were left out
}

// bounded is a recorder that keeps at most maxFirstEvents. It drops the rest without an error, at which reverse_proxy would
// give up.
type bounded struct {
	caddyhttp.ResponseRecorder
	first *firstEvents
}

func (b bounded) Write(p []byte) (int, error) {
	b.WriteHeader(http.StatusOK) // does nothing if it has been called
	if b.Buffered() && b.first.Len()+len(p) > maxFirstEvents {
		b.first.over = true
		return len(p), nil
	}
	return b.ResponseRecorder.Write(p)
}

// Unwrap is for http.ResponseController.
func (b bounded) Unwrap() http.ResponseWriter { return b.ResponseRecorder }

// frames returns the app's first events as the stream sends them. They are not in the log and so have no id: the app sends
// them again to a client that comes back.
func (f *firstEvents) frames() (frames []byte) {
	reader := sse.NewReader(&f.Buffer, maxFirstEvents)
	for {
		m, err := reader.Next()
		if err != nil {
			return frames
		}
		if strings.HasPrefix(m.Type, "sse:") {
			continue
		}
		event := sse.Event{Type: m.Type, Data: []byte(m.Data)}
		if m.Type == "message" {
			event.Type = ""
		}
		frames = event.Append(frames)
	}
}
