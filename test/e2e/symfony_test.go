package e2e_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

// The two ways of docs/start/symfony.md, as printed, in an app with the framework and the Mercure component as Debian packages them.
// Composer has no registry here: the app has what its commands would install.
func TestSymfony(t *testing.T) {
	t.Parallel()
	const page = "docs/start/symfony.md"
	t.Run("create", func(t *testing.T) {
		if s := the(t, page, "sh", "create-project"); !strings.HasPrefix(s.text, "composer ") {
			t.Errorf("%v begins with %q", s, s.text)
		}
	})
	for _, way := range []string{"With the client of this project", "With symfony/mercure"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			part := slices.DeleteFunc(snippets(t, page), func(s snippet) bool {
				return s.section != way || strings.HasPrefix(s.text, "composer require ")
			})
			w := walkPart(t, page, part)
			if err := os.CopyFS(w.dir, os.DirFS(testdata(t, "symfony"))); err != nil {
				t.Fatal(err)
			}
			w.env = []string{"CLIENTS_PHP=" + filepath.Join(harness.Root(), "clients", "php")}
			w.serve()
			tab := harness.OpenTab(t, w.url("http://localhost:8080/orders.html"))
			tab.Wait(`events.readyState === EventSource.OPEN`)
			tab.Click("button")
			tab.Wait(`/^order \d+$/.test(document.querySelector('li:last-child')?.textContent)`)
		})
	}
}
