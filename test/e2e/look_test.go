package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

// looks checks a page as it is seen on a phone and on a desk, by day and by night: nothing is wider than the screen, and axe-core finds
// nothing that keeps anyone from using it.
func looks(t *testing.T, tab *harness.Tab, name string) {
	t.Helper()
	axe, err := os.ReadFile(filepath.Join(harness.Root(), "test/node_modules/axe-core/axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	harness.Eval[bool](tab, fmt.Sprintf("(() => { %s\nreturn true })()", axe))
	for _, size := range [][2]int64{{360, 2600}, {1440, 900}} {
		for _, theme := range []string{"light", "dark"} {
			tab.Look(size[0], size[1], theme == "dark")
			as := fmt.Sprintf("%s-%d-%s", name, size[0], theme)
			if over := harness.Eval[int](tab, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
				t.Errorf("%s is %d pixels too wide", as, over)
			}
			tab.Wait(`document.getAnimations().length === 0`)
			faults := harness.Eval[[]string](tab, `axe.run({ resultTypes: ['violations'] }).then(({ violations }) =>
				violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => id + ': ' + target + ': ' + failureSummary)))`)
			if len(faults) > 0 {
				t.Errorf("%s:\n%s", as, strings.Join(faults, "\n"))
			}
			tab.Screenshot(as)
		}
	}
}
