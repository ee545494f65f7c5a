package subscribe

import (
	"fmt"
	"net/http"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/request"
	"github.com/sse-push/caddy-sse-push/internal/sse"
	"github.com/sse-push/caddy-sse-push/internal/stream"
)

// pulse is a source with heartbeats that a page hears: events instead of comments. One comes as the stream begins, so that the page
// knows when to expect the next, and then at least every two heartbeats, however much the stream brings, as a page does not hear
// events that it has no listener for.
type pulse struct {
	stream.Source
	timing *stream.Timing
	last   time.Time // when the last one was given; zero before the first
}

// Pulse returns the source of a stream with heartbeats that the page hears, if its request asks for them.
func Pulse(r *http.Request, src stream.Source, timing *stream.Timing) stream.Source {
	if !request.HasParam(r, "heartbeat") || request.HasParam(r, "plain") {
		return src
	}
	return &pulse{Source: src, timing: timing}
}

// Next implements stream.Source.
func (p *pulse) Next(frames [][]byte, max int64) ([][]byte, error) {
	before := len(frames)
	frames, err := p.Source.Next(frames, max)
	if err == nil && len(frames) > before && time.Since(p.last) >= p.timing.Heartbeat() {
		frames = append(frames, p.beat())
	}
	return frames, err
}

// Idle implements stream.Source.
func (p *pulse) Idle() []byte {
	frame := p.Source.Idle()
	if string(frame) == sse.Heartbeat {
		return p.beat()
	}
	return frame
}

func (p *pulse) beat() []byte {
	p.last = time.Now()
	return sse.Event{Type: "sse:heartbeat", Data: fmt.Appendf(nil, `{"next":%d}`, 2*p.timing.Heartbeat().Milliseconds())}.Append(nil)
}
