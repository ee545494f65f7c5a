package wild_test

import (
	"regexp"
	"testing"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

// snippet is what docs/reference/fronts.md says to write at a place of a front's configuration.
type snippet struct{ front, place string }

// onPage matches a comment that no reader sees, which says where the block below it belongs.
var onPage = regexp.MustCompile("(?m)^<!-- ([^:]+): (.+) -->\n```.*\n((?:[^`].*\n|\n)+)```$")

// page returns the snippets of docs/reference/fronts.md.
func page(t *testing.T) map[snippet]string {
	t.Helper()
	found := map[snippet]string{}
	for _, match := range onPage.FindAllStringSubmatch(harness.File(t, "docs/reference/fronts.md"), -1) {
		at := snippet{match[1], match[2]}
		if found[at] != "" {
			t.Errorf("docs/reference/fronts.md has two snippets of %v", at)
		}
		found[at] = match[3]
	}
	return found
}
