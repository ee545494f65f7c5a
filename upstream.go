package ssepush

import (
	"bytes"
	"errors"
	"maps"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/identity"
	"github.com/sse-push/caddy-sse-push/internal/instruction"
	"github.com/sse-push/caddy-sse-push/internal/request"
	"github.com/sse-push/caddy-sse-push/internal/sse"
)

// maxFirstEvents bounds what an app may send as a stream's first events, in bytes.
const maxFirstEvents = 256 << 10

// errUpstream: the app behind is in trouble, which may pass.
var errUpstream = &hub.Refusal{Reason: "upstream"}

// serveUpstream lets the app behind say who a client is and what it hears. Its answer ends as any other does, so that its
// worker is free; the stream that it has asked for begins then. The app is given the request as it is, rewritten or not.
func (h *Handler) serveUpstream(w http.ResponseWriter, r, asIs *http.Request, next caddyhttp.Handler) error {
	if h.stream.screen(w, r) {
		return nil
	}
	if err := h.stream.arrive(r); err != nil {
		h.stream.reject(w, r, err)
		return nil
	}
	params, p := request.ParamsForApp(w, r, asIs)
	sub := h.stream.asked(r)
	if p == nil {
		p = since(&sub, r.Header, params)
	}
	if p != nil {
		p.Write(w)
		return nil
	}
	// What is published from now on is not missed, however long the app takes. What is replayed ends there or later.
	if sub.LastEventID == "" && sub.Replay == 0 {
		position, err := h.hub.Position(r.Context())
		if err != nil {
			h.stream.reject(w, r, err)
			return nil
		}
		sub.LastEventID = position.String()
	}

	answer, err := h.askApp(w, r, asIs, next)
	if answer == nil {
		return err
	}
	if r.Context().Err() != nil { // the client has left: the app has not failed
		return nil
	}
	unsay(w.Header())
	g := h.grantOf(answer)
	if g == nil {
		h.stream.reject(w, r, errUpstream)
		return nil
	}
	if r.Method == http.MethodHead {
		setStreamHeaders(w)
		w.WriteHeader(http.StatusOK)
		return nil
	}
	if answer.first.over {
		h.complain(zap.WarnLevel, "the app's first events are too large, and some are left out", zap.Int("limit", maxFirstEvents))
	}
	sub.Topics, sub.First = g.Topics, answer.first.frames()
	conn, timing, err := h.stream.begin(r, identity.Identity{User: g.User, Grant: g}, sub)
	if err != nil {
		h.stream.reject(w, r, err)
		return nil
	}
	h.stream.hold(w, r, conn, timing)
	return nil
}

// appAnswer is an app's answer to a subscribe request, which is not sent.
type appAnswer struct {
	status       int
	header       http.Header
	instructions http.Header
	first        firstEvents
	err          error // of the handlers behind
}

// askApp hands a subscribe request to the app behind. It returns nil if the answer has gone to the client as it is: one that
// asks for no stream, unless an EventSource would give up for good at it.
func (h *Handler) askApp(w http.ResponseWriter, r, asIs *http.Request, next caddyhttp.Handler) (*appAnswer, error) {
	streams := strings.Contains(r.Header.Get("Accept"), "text/event-stream")
	stripRequest(asIs)
	asIs.Header.Del("Accept-Encoding") // first events are to be read
	a := &appAnswer{}
	rec := caddyhttp.NewResponseRecorder(w, &a.first.Buffer, func(status int, header http.Header) bool {
		taken := instruction.Strip(header)
		if status < 200 {
			return false
		}
		switch texts := taken[instruction.Publish]; {
		case len(texts) == 0:
		case h.PublishHeader != nil:
			h.publishAnswer(r.Context(), texts, status, header)
		case isInner(asIs) && instruction.WhyCached(status, header) == "":
			header[instruction.Publish] = texts // for the directive around this one
		}
		a.status, a.header, a.instructions = status, header.Clone(), taken
		return a.holds() || streams && status >= 500
	})
	err := next.ServeHTTP(bounded{rec, &a.first}, enclosed(asIs))
	if !isInner(asIs) {
		instruction.Strip(w.Header()) // of an error, or trailers
	}
	var failure caddyhttp.HandlerError
	switch {
	case streams && rec.Buffered() && errors.As(err, &failure) && failure.StatusCode >= 500:
		a.status, a.err = failure.StatusCode, err
	case streams && a.status >= 500:
	case err != nil || !a.holds():
		return nil, err
	}
	return a, nil
}

// holds reports whether the app asks for a stream.
func (a *appAnswer) holds() bool {
	return a.status == http.StatusOK && a.instructions.Get(instruction.Hold) == "stream"
}

// grantOf reads whom the app lets in, and to what. It returns nil if the answer cannot be believed, and logs the reason.
func (h *Handler) grantOf(a *appAnswer) *identity.Grant {
	if !a.holds() {
		h.complain(zap.WarnLevel, "the app behind the subscribe route failed", zap.Int("status", a.status), zap.Error(a.err))
		return nil
	}
	if reason := instruction.WhyCached(a.status, a.header); reason != "" {
		h.complain(zap.WarnLevel, "X-SSE-Hold is ignored: "+reason)
		return nil
	}
	g, err := identity.ReadAnswer(a.instructions)
	if err != nil {
		h.complain(zap.ErrorLevel, "the app's answer to a subscribe request cannot be read", zap.Error(err))
		return nil
	}
	return g
}

// unsay takes out what was said of a body that is not sent.
func unsay(h http.Header) {
	for _, name := range []string{
		"Content-Length", "Transfer-Encoding", "Content-Encoding", "Content-Type", "Etag", "Last-Modified", "Accept-Ranges", "Trailer",
		"Status", "Retry-After", "Age",
	} {
		h.Del(name)
	}
	maps.DeleteFunc(h, func(name string, _ []string) bool { return strings.HasPrefix(name, http.TrailerPrefix) })
}

// firstEvents is the body of an app's answer.
type firstEvents struct {
	bytes.Buffer
	over bool
}

// bounded is a recorder whose buffer does not grow past what first events may be; what is over is dropped, since
// an error would make reverse_proxy give up.
type bounded struct {
	caddyhttp.ResponseRecorder
	first *firstEvents
}

func (b bounded) Write(p []byte) (int, error) {
	b.WriteHeader(http.StatusOK) // nothing, where it has been called
	if b.Buffered() && b.first.Len()+len(p) > maxFirstEvents {
		b.first.over = true
		return len(p), nil
	}
	return b.ResponseRecorder.Write(p)
}

// Unwrap is for http.ResponseController.
func (b bounded) Unwrap() http.ResponseWriter { return b.ResponseRecorder }

// frames are the app's first events as the stream sends them. They have no place in the log, and so no id: a client that
// comes back is told again by the app.
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
