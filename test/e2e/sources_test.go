package e2e_test

import (
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

// The site of the reference: a session's stream, by the cookie and the parameter that count, and what an operator asks.
func TestReferenceSources(t *testing.T) {
	t.Parallel()
	dir := harness.Dir(t)
	harness.WriteFile(t, dir, "whoami.php", `<?php header('X-SSE-User: ' . $_COOKIE['PHPSESSID']);`)
	harness.WriteFile(t, dir, "inbox.php", `<?php header('Content-Type: text/event-stream');
		echo "data: $_COOKIE[PHPSESSID] $_GET[folder]\n\n"; ob_flush(); flush();
		for (;;) { echo ":\n\n"; ob_flush(); flush(); if (connection_aborted()) break; usleep(100000); }`)
	fpm, address := harness.StartFPM(t, 6), "localhost:"+harness.Port(t)
	const page = "docs/reference/sources.md"
	site := the(t, page, "caddyfile", "cookies PHPSESSID")
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
	if out := the(t, page, "sh", "/_sse/sources").run(t, "localhost:8080", address); strings.Count(out, `"path":"/inbox.php`) != 3 || !strings.Contains(out, `"listeners":2`) {
		t.Errorf("sources: %s", out)
	}
}
