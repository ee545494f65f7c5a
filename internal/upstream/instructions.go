package upstream

import (
	"context"
	"io"
	"maps"
	"net/http"

	"github.com/sse-push/caddy-sse-push/internal/instruction"
)

// innerKey is the context key of a request that a directive with instructions has passed on. Another directive on its way keeps
// the instructions that the first one has added to the request, and leaves those in the answer that the first one waits for.
type innerKey struct{}

// isInner reports whether another directive around this one deals with instructions.
func isInner(r *http.Request) bool { return r.Context().Value(innerKey{}) != nil }

// enclosed returns a request as further directives see it. This is in the context, not in the request's variables: a dial of
// reverse_proxy reads those even after the handlers have returned.
func enclosed(r *http.Request) *http.Request {
	if isInner(r) {
		return r
	}
	return r.WithContext(context.WithValue(r.Context(), innerKey{}, true))
}

// stripRequest removes every instruction from a request, unless a directive around this one has done so. Its trailers are yet
// to come: net/http adds them to the request's map once the body has been read. So the request gets a map of its own, and a
// body that copies into it all but instructions.
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

// strippedBody copies the trailers that follow a body, except instructions.
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
