package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

// looks checks a page as it is seen on a phone by day and on a desk by night: nothing is wider than the screen, and with
// SSE_PUSH_WILD=1, as it takes long, axe-core finds nothing that keeps anyone from using it. What it finds depends on the size or on
// the theme, so each of them once is enough.
func looks(t *testing.T, tab *harness.Tab, name string) {
	t.Helper()
	wild := os.Getenv("SSE_PUSH_WILD") != ""
	if wild {
		axe, err := os.ReadFile(filepath.Join(harness.Root(), "test/node_modules/axe-core/axe.min.js"))
		if err != nil {
			t.Fatal(err)
		}
		harness.Eval[bool](tab, fmt.Sprintf("(() => { %s\nreturn true })()", axe))
	}
	for _, as := range []struct {
		name          string
		width, height int64
		dark          bool
	}{{name + "-360-light", 360, 2600, false}, {name + "-1440-dark", 1440, 900, true}} {
		tab.Look(as.width, as.height, as.dark)
		if over := harness.Eval[int](tab, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
			t.Errorf("%s is %d pixels too wide", as.name, over)
		}
		if wild {
			tab.Wait(`document.getAnimations().length === 0`)
			faults := harness.Eval[[]string](tab, `axe.run({ resultTypes: ['violations'] }).then(({ violations }) =>
				violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => id + ': ' + target + ': ' + failureSummary)))`)
			if len(faults) > 0 {
				t.Errorf("%s:\n%s", as.name, strings.Join(faults, "\n"))
			}
		}
		tab.Screenshot(as.name)
	}
}
