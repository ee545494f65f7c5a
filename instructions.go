package ssepush

import (
	"context"
	"io"
	"maps"
	"net/http"

	"github.com/sse-push/caddy-sse-push/internal/instruction"
)

// innerKey is the context key of a request that passes what stands behind a directive that deals with instructions. Another
// directive there keeps what the first one has added to the request, and leaves it what it waits for in the answer.
type innerKey struct{}

// isInner reports whether another directive around this one deals with instructions.
func isInner(r *http.Request) bool { return r.Context().Value(innerKey{}) != nil }

// enclosed returns a request as the directives behind this one are to see it. The request's variables cannot say this: a dial
// of reverse_proxy reads them even after the handlers have returned.
func enclosed(r *http.Request) *http.Request {
	if isInner(r) {
		return r
	}
	return r.WithContext(context.WithValue(r.Context(), innerKey{}, true))
}

// takeInstructions removes from an answer the instructions that a directive deals with, and returns them: all, or of an
// inner one its own. X-SSE-Publish is left to the directive around unless this one publishes.
func (h *Handler) takeInstructions(header http.Header, inner bool) (taken http.Header) {
	if !inner {
		return instruction.Strip(header)
	}
	taken = http.Header{}
	if h.PublishHeader != nil {
		taken[instruction.Publish] = header[instruction.Publish]
		delete(header, instruction.Publish)
	}
	return taken
}

// stripRequest removes every instruction from a request, unless a directive around has done so. Trailers are not there yet:
// net/http adds them to the request once the body has been read, so the request gets a map of its own, and a body that fills
// it in.
func stripRequest(r *http.Request) {
	if isInner(r) {
		return
	}
	instruction.Strip(r.Header)
	if r.Body == nil || r.Body == http.NoBody {
		r.Trailer = nil
		return
	}
	announced := maps.Clone(r.Trailer)
	if announced == nil {
		announced = http.Header{}
	}
	instruction.Strip(announced)
	r.Body = &strippedBody{ReadCloser: r.Body, from: r.Trailer, to: announced}
	r.Trailer = announced
}

// strippedBody copies the trailers that follow a body, apart from instructions.
type strippedBody struct {
	io.ReadCloser
	from, to http.Header
}

// Read implements io.Reader.
func (b *strippedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		maps.Copy(b.to, b.from)
		instruction.Strip(b.to)
	}
	return n, err
}
