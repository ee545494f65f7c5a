// Package instruction knows the X-SSE-* headers by which the app behind the proxy steers it: which header is one, how they are
// taken out of a message, and which answers are an earlier request's, so that theirs do not count.
package instruction

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// prefix begins the name of every instruction, as net/http spells it. Only answers of the app have instructions: those in a
// client's request are removed.
const prefix = "X-Sse-"

const (
	Hold    = prefix + "Hold"    // begins a stream
	Publish = prefix + "Publish" // publishes events
)

// Dashes replaces `_` and `.` in a header's name by `-`. An app that reads headers as CGI does cannot tell the three apart.
var Dashes = strings.NewReplacer("_", "-", ".", "-")

// nameLists are the headers that list other headers: those that the next hop removes, and those that follow the body.
var nameLists = []string{"Connection", "Proxy-Connection", "Trailer"}

// Is reports whether a header is an instruction, or looks like one to an app that cannot tell `-` from `_` or `.`.
func Is(name string) bool {
	name = Dashes.Replace(name)
	return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}

// Strip removes every instruction from h, and its name from the lists of names in h. It returns the instructions that it
// removed.
func Strip(h http.Header) http.Header {
	var taken http.Header
	for name, values := range h {
		switch {
		case Is(strings.TrimPrefix(name, http.TrailerPrefix)):
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

// unlisted returns the lines of a list of names without the names of instructions.
func unlisted(lines []string) []string {
	listed := func(name string) bool { return Is(strings.TrimSpace(name)) }
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
