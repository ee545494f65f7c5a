package e2e_test

import (
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

// sourceExample is the one snippet of docs/sources.md that is of a kind and holds a text.
func sourceExample(t *testing.T, kind, holds string) snippet {
	t.Helper()
	for _, s := range snippets(t, "docs/sources.md") {
		if s.kind == kind && strings.Contains(s.text, holds) {
			return s
		}
	}
	t.Fatalf("docs/sources.md has no snippet of %s with %q", kind, holds)
	return snippet{}
}

// The page's first example: the Caddyfile, the script, the page, and what an operator asks.
func TestSourcesPage(t *testing.T) {
	t.Parallel()
	script := sourceExample(t, "php", "while (1)")
	if want := harness.File(t, "examples/php/loop/public/clock.php"); script.text != want {
		t.Errorf("%v differs from the example's script", script)
	}
	page := sourceExample(t, "js", "new EventSource")
	dir := harness.Dir(t)
	harness.WriteFile(t, dir, "clock.php", script.text)
	harness.WriteFile(t, dir, "page.php", `<!doctype html><title>page</title><script>`+page.text+`</script>`)
	fpm, address := harness.StartFPM(t, 2), "localhost:"+harness.Port(t)
	site := sourceExample(t, "caddyfile", "share everyone")
	harness.StartCaddy(t, harness.Replace(t, site.String(), site.text, "localhost:8080", address, "localhost:9000", fpm.Address, "root * public", "root * "+dir))

	tabs := []*harness.Tab{harness.OpenTab(t, "http://"+address+"/page.php"), harness.OpenTab(t, "http://"+address+"/page.php")}
	for _, tab := range tabs {
		harness.EventuallyEqual(t, "whether the page says the time", true, func() bool {
			return strings.Contains(strings.Join(tab.Console(), "\n"), "The server time is ")
		})
	}
	harness.EventuallyEqual(t, "busy workers", 1, func() int { return fpm.Load(t).Active })
	if out := sourceExample(t, "sh", "/_sse/sources").run(t, "localhost:8080", address); !strings.Contains(out, `"listeners":2`) || !strings.Contains(out, `"path":"/clock.php"`) {
		t.Errorf("sources: %s", out)
	}
}

// Its second: a session's stream, by the cookie and the parameter that count.
func TestSourcesPageSession(t *testing.T) {
	t.Parallel()
	dir := harness.Dir(t)
	harness.WriteFile(t, dir, "whoami.php", `<?php header('X-SSE-User: ' . $_COOKIE['PHPSESSID']);`)
	harness.WriteFile(t, dir, "inbox.php", `<?php header('Content-Type: text/event-stream');
		echo "data: $_COOKIE[PHPSESSID] $_GET[folder]\n\n"; ob_flush(); flush();
		for (;;) { echo ":\n\n"; ob_flush(); flush(); if (connection_aborted()) break; usleep(100000); }`)
	fpm, address := harness.StartFPM(t, 6), "localhost:"+harness.Port(t)
	site := sourceExample(t, "caddyfile", "cookies PHPSESSID")
	harness.StartCaddy(t, harness.Replace(t, site.String(), site.text, "localhost:8080", address, "localhost:9000", fpm.Address, "root * public", "root * "+dir))
	open := func(session, folder, more string) *harness.Stream {
		s := harness.Open(t, "http://"+address+"/inbox.php?folder="+folder+"&t="+more, "Cookie", "visits="+more+"; PHPSESSID="+session)
		s.Expect(session + " " + folder)
		return s
	}
	open("ann", "new", "1")
	open("ann", "new", "2") // the same
	open("ben", "new", "3")
	open("ann", "old", "4")
	harness.EventuallyEqual(t, "busy workers", 3, func() int { return fpm.Load(t).Active })
}
