package ssepush

import (
	"net/http"
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

// isInstruction reports whether a header steers the proxy, or would be taken for one that does by an app that cannot tell
// `-` from `_` or `.`, as CGI cannot.
func isInstruction(name string) bool {
	name = strings.NewReplacer("_", "-", ".", "-").Replace(name)
	return len(name) >= len(instructionPrefix) && strings.EqualFold(name[:len(instructionPrefix)], instructionPrefix)
}

// stripInstructions takes every instruction out of a header, and returns what it took.
func stripInstructions(h http.Header) http.Header {
	var taken http.Header
	for name, values := range h {
		if isInstruction(strings.TrimPrefix(name, http.TrailerPrefix)) {
			if taken == nil {
				taken = http.Header{}
			}
			taken[name] = values
			delete(h, name)
		}
	}
	return taken
}
