package ssepush

import (
	"net/http"
	"slices"
	"strings"

	"github.com/sse-push/caddy-sse-push/internal/rules"
)

// Identity is who a client is and what it may hear.
type Identity struct {
	// The user's name; empty for an anonymous client.
	User string
	// Names and patterns of topics, with their placeholders filled in. The slice may be shared: it must not be changed.
	Topics []string
	// What the client has proved; nil if its word was taken.
	Grant *Grant
}

// Granted reports whether the client may have a topic: a name that one of its topics covers, or a pattern that is
// literally one of them.
func (id Identity) Granted(topic string) bool {
	if slices.Contains(id.Topics, topic) {
		return true
	}
	return !rules.IsPattern(topic) && slices.ContainsFunc(id.Topics, func(p string) bool { return rules.Match(p, topic) })
}

// cookies returns the values of the cookies of a name. Unlike net/http it keeps those that hold bytes
// which should not be there: they are invalid, not absent.
func cookies(r *http.Request, name string) (values []string) {
	for _, line := range r.Header["Cookie"] {
		for pair := range strings.SplitSeq(line, ";") {
			n, v, ok := strings.Cut(strings.Trim(pair, " \t"), "=")
			if !ok || n != name {
				continue
			}
			if len(v) > 1 && v[0] == '"' && v[len(v)-1] == '"' {
				v = v[1 : len(v)-1]
			}
			values = append(values, v)
		}
	}
	return values
}
