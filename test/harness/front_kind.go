package harness

import (
	"strings"
	"testing"
)

// Lines are lines of a front's configuration by the place where they stand, such as "location" of nginx. A place that is not
// among them holds its usual lines.
type Lines map[string]string

// kind is what is known of a front.
type kind struct {
	program []string          // its names
	args    []string          // with which it stays in the foreground, logs to stderr and touches nothing outside of $DIR
	files   map[string]string // of $DIR, with $[place]
	places  Lines             // their usual lines
	env     []string
	asked   bool // to end, by SIGTERM: killed, it would leave something outside of $DIR

	cleartext, encrypted bool // what it serves
}

// at returns a template with the lines of its places, which may have places themselves.
func (k kind) at(t testing.TB, template string, lines Lines) string {
	t.Helper()
	for {
		before, rest, found := strings.Cut(template, "$[")
		if !found {
			return template
		}
		place, after, _ := strings.Cut(rest, "]")
		usual, ok := k.places[place]
		if !ok {
			t.Fatalf("a configuration has the unknown place %q", place)
		}
		held, said := lines[place]
		if !said {
			held = usual
		}
		template = before + held + after
	}
}
