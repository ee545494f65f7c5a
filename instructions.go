package ssepush

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// Instructions are headers by which the app behind steers the proxy: in its answers alone, never in what a client sends.
const (
	instructionPrefix = "X-Sse-" // as net/http spells it

	headerHold    = "X-Sse-Hold"
	headerPublish = "X-Sse-Publish"

	// headerQuestion marks a question of user authorize. Its value is questionMark.
	headerQuestion = "X-Sse-Question"
)

// dashes spells a name with `-`, where an app that cannot tell `_` and `.` from it reads the same name, as CGI does.
var dashes = strings.NewReplacer("_", "-", ".", "-")

// nameLists are the headers that list names of others: those that the next hop removes, and those that follow the body.
var nameLists = []string{"Connection", "Proxy-Connection", "Trailer"}

// isInstruction reports whether a header steers the proxy, or would be taken for one that does by an app that cannot tell
// `-` from `_` or `.`.
func isInstruction(name string) bool {
	name = dashes.Replace(name)
	return len(name) >= len(instructionPrefix) && strings.EqualFold(name[:len(instructionPrefix)], instructionPrefix)
}

// stripInstructions removes every instruction from a header, and its name from the header's lists of names. It returns the
// instructions that it removed.
func stripInstructions(h http.Header) http.Header {
	var taken http.Header
	for name, values := range h {
		switch {
		case isInstruction(strings.TrimPrefix(name, http.TrailerPrefix)):
			if taken == nil {
				taken = http.Header{}
			}
			taken[name] = values
			delete(h, name)
		case slices.Contains(nameLists, textproto.CanonicalMIMEHeaderKey(name)):
			if values = unlisted(values); len(values) == 0 {
				delete(h, name)
			} else {
				h[name] = values
			}
		}
	}
	return taken
}

// unlisted returns the lines of a list of names without those of instructions.
func unlisted(lines []string) []string {
	listed := func(name string) bool { return isInstruction(strings.TrimSpace(name)) }
	if !slices.ContainsFunc(lines, func(line string) bool { return slices.ContainsFunc(strings.Split(line, ","), listed) }) {
		return lines
	}
	var kept []string
	for _, line := range lines {
		if names := slices.DeleteFunc(strings.Split(line, ","), listed); len(names) > 0 {
			kept = append(kept, strings.TrimSpace(strings.Join(names, ",")))
		}
	}
	return kept
}

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
		return stripInstructions(header)
	}
	taken = http.Header{}
	if h.PublishHeader != nil {
		taken[headerPublish] = header[headerPublish]
		delete(header, headerPublish)
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
	stripInstructions(r.Header)
	if r.Body == nil || r.Body == http.NoBody {
		r.Trailer = nil
		return
	}
	announced := maps.Clone(r.Trailer)
	if announced == nil {
		announced = http.Header{}
	}
	stripInstructions(announced)
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
		stripInstructions(b.to)
	}
	return n, err
}
