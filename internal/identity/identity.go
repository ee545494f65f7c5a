package identity

import (
	"slices"

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
