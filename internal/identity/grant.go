package identity

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-push/caddy-sse-push/internal/placeholder"
	"github.com/sse-push/caddy-sse-push/internal/rules"
)

// MaxTopics is how many topics one connection may ask for, and how many a proof may grant.
const MaxTopics = 100

// Grant is what a proof (a ticket, a token, an answer of the app) says of its bearer. Connections may share it: it must not
// be changed.
type Grant struct {
	User    string
	Topics  []string  // granted beside the route's own
	Expires time.Time // zero: never
	Limit   int       // how many connections the user may have; 0: as many as the hub allows
	Once    string    // names what only one living connection may hold; "" if any number may
	by      string    // names what vouched for it: a key or an endpoint, and the rules that applied
}

// CheckTopics reports what is wrong with the topics that a proof grants.
func CheckTopics(topics []string) error {
	if len(topics) > MaxTopics {
		return fmt.Errorf("more than %d topics", MaxTopics)
	}
	for _, t := range topics {
		if err := rules.CheckPattern(t); err != nil {
			return fmt.Errorf("a topic %w", err)
		}
	}
	return nil
}

// CheckRouteTopic reports what is wrong with one of a route's topics, as far as can be told before its placeholders are filled
// in.
func CheckRouteTopic(entry string) error {
	// Any name will do for a placeholder: its value is escaped and can add neither segment nor wildcard.
	probe := placeholder.Any.ReplaceAllString(entry, "x")
	if strings.ContainsAny(probe, "{}") {
		return fmt.Errorf("%q has an unmatched brace", entry)
	}
	if err := rules.CheckPattern(probe); err != nil {
		return fmt.Errorf("%q: %w", entry, err)
	}
	return nil
}

// asksRequest reports whether a topic has a placeholder other than {user}.
func asksRequest(entry string) bool {
	return strings.Contains(strings.ReplaceAll(entry, "{user}", ""), "{")
}

// errDrop ends the expansion of a topic that is left out.
var errDrop = errors.New("not granted")

// expandTopics fills in the placeholders of topics. A value is escaped, so that it can add neither a segment nor a wildcard.
// A topic with a value that is empty or unfit is left out.
func expandTopics(entries []string, user string, repl *caddy.Replacer) []string {
	if !slices.ContainsFunc(entries, func(e string) bool { return strings.Contains(e, "{") }) {
		return entries // one slice for all connections
	}
	topics := make([]string, 0, len(entries))
	for _, entry := range entries {
		topic, err := repl.ReplaceFunc(entry, func(variable string, value any) (any, error) {
			s := caddy.ToString(value)
			if variable == "user" {
				s = user
			}
			if s == "" || !utf8.ValidString(s) {
				return nil, errDrop
			}
			return rules.EscapeSegment(s), nil
		})
		if err == nil && rules.CheckPattern(topic) == nil {
			topics = append(topics, topic)
		}
	}
	return topics
}
