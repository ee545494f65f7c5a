package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/sse-push/caddy-sse-push/internal/feed"
	"github.com/sse-push/caddy-sse-push/internal/problem"
	"github.com/sse-push/caddy-sse-push/internal/request"
	"github.com/sse-push/caddy-sse-push/internal/sse"
	"github.com/sse-push/caddy-sse-push/internal/stream"
	"github.com/sse-push/caddy-sse-push/internal/subscribe"
)

// plainParam is the parameter by which a client asks for the answer itself.
const plainParam = "plain"

// form is what a client gets of a relay.
type form uint8

const (
	events  form = iota // an event stream with ids, and with events of the proxy
	running             // the answer itself, of a relay that runs
	whole               // the answer itself, of a relay that has ended as well
)

// formOf returns the form that a request asks for.
func formOf(req *http.Request, query url.Values) (form, *problem.Problem) {
	switch {
	case !query.Has(plainParam):
		return events, nil
	case !req.ProtoAtLeast(1, 1):
		return 0, problem.New(http.StatusHTTPVersionNotSupported, "over HTTP/1.0, an answer that breaks off would look whole").OfField(plainParam)
	}
	switch query.Get(plainParam) {
	case "":
		return running, nil
	case "whole":
		return whole, nil
	}
	return 0, problem.Field(plainParam, "must have no value, or be whole")
}

var (
	errNoAnswer = errors.New("the relay has no answer")
	errNotWhole = errors.New("the answer is not whole")
)

// servePlain gives a client the answer itself.
func (l *listener) servePlain(w http.ResponseWriter, req *http.Request, route *subscribe.Route, timing *stream.Timing) {
	request.LiftTimeouts(w, req) // the answer may begin late
	k, ok := l.awaitAnswer(req.Context())
	if !ok || !k.answered {
		reason := errNoAnswer
		if err := req.Context().Err(); err != nil {
			reason = err
		} else {
			problem.New(http.StatusBadGateway, "%v", errNoAnswer).Write(w)
		}
		l.Close(reason)
		return
	}
	kind := k.outcome.Headers[contentType]
	format, _ := formatOf(k.As, mediaTypeOf(kind))
	stream.SetHeaders(w)
	h := w.Header()
	for name, value := range k.outcome.Headers {
		if strings.HasPrefix(name, sdkHeader) {
			h.Set(name, value)
		}
	}
	switch {
	case kind != "":
		h.Set(contentType, kind)
	case format == feed.Lines:
		h.Set(contentType, "application/x-ndjson")
	default:
		h.Set(contentType, "text/plain; charset=utf-8")
	}
	// Whatever an upstream sends: opened as a page, it can do nothing in the name of the site.
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	route.Serve(w, req, &plain{listener: l, format: format, named: k.Event, parser: sse.NewParser(0)}, timing)
}

// awaitAnswer waits until the relay has an answer, or its end. It reports false if the client leaves or its connection ends before.
func (l *listener) awaitAnswer(ctx context.Context) (known, bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	woken := make(bell, 1)
	l.OnWake(woken)
	go func() {
		for !l.Conn.Ended() {
			select {
			case <-woken:
			case <-ctx.Done():
				return
			}
		}
		cancel()
	}()
	return l.registry.wait(ctx, l.relay, func(k *known) bool { return k.answered || k.end != Running })
}

// bell wakes a goroutine that waits for a connection.
type bell chan struct{}

// Wake implements hub.Waker.
func (b bell) Wake(bool) {
	select {
	case b <- struct{}{}:
	default:
	}
}

// plain is a listener whose client gets the answer itself: the events without ids and events of the proxy, or what they were made of.
type plain struct {
	*listener
	format feed.Format
	named  string // the name that the proxy has given to events without one
	parser *sse.Parser
	err    error // why the stream is over: io.EOF if the client has had everything
}

// Next implements stream.Source.
func (p *plain) Next(frames [][]byte, max int64) ([][]byte, error) {
	for n := len(frames); len(frames) == n && p.err == nil; {
		all, err := p.Conn.Next(frames, max)
		for _, frame := range all[n:] {
			if b := p.take(frame); len(b) > 0 {
				frames = append(frames, b) // over one that has been taken
			}
		}
		clear(all[len(frames):])
		if err != nil && p.err == nil {
			p.err = errNotWhole
		}
		if len(all) == n {
			break
		}
	}
	p.over.Store(p.err != nil)
	return frames, p.err
}

// take returns what the client gets of a frame.
func (p *plain) take(frame []byte) (b []byte) {
	_ = p.parser.Feed(frame, func(m sse.Message) error {
		switch {
		case p.err != nil:
		case m.Type == typeEnd:
			p.err = errNotWhole
			var e end
			if err := json.Unmarshal([]byte(m.Data), &e); err == nil && e.Status == Complete {
				p.err = io.EOF
			}
		case m.Type == "sse:gap":
			p.err = fmt.Errorf("%w: the log has lost some of it", errNotWhole)
		case strings.HasPrefix(m.Type, "sse:"):
		default:
			b = p.append(b, m)
		}
		return nil
	})
	return b
}

// append appends an event in the form that the upstream has sent.
func (p *plain) append(b []byte, m sse.Message) []byte {
	switch p.format {
	case feed.Lines: // a line that has line ends was sent with CRs, which are space in JSON
		return append(append(b, strings.ReplaceAll(m.Data, "\n", "\r")...), '\n')
	case feed.Text:
		return append(b, m.Data...)
	}
	e := sse.Event{Type: m.Type, Data: []byte(m.Data)}
	_, e.ID, _ = strings.Cut(m.ID, "~")
	if e.Type == p.named {
		e.Type = ""
	}
	return e.Append(b)
}

// Idle implements stream.Source. Only an event stream can hold a heartbeat.
func (p *plain) Idle() []byte {
	if p.format != feed.EventStream {
		return nil
	}
	return []byte(sse.Heartbeat)
}
