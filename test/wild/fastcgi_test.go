package wild_test

import (
	"testing"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

// An app of PHP-FPM that streams by itself is not heard behind Apache, until mod_proxy_fcgi is told to pass on what it has.
func TestFastCGI(t *testing.T) {
	if !all() {
		return
	}
	script := harness.WriteFile(t, harness.Dir(t), "loop.php", `<?php
header('Content-Type: text/event-stream');
while (true) {
    echo 'data: ', date(DATE_ATOM), "\n\n";
    @ob_flush();
    flush();
    usleep(300000);
}`)
	app := harness.StartFPM(t, 16)
	pass := "ProxyPass /events fcgi://hub:8080" + script
	for _, r := range []row{
		{name: "as it comes", code: "no-answer", lines: harness.Lines{"host": pass}},
		{name: "done right", code: "php-worker", also: []string{"cacheable", "no-ids", "no-retry"},
			lines: harness.Lines{"host": pass + " flushpackets=on"}},
	} {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			front := harness.StartFront(t, "Apache", app.Address, r.lines)
			found, text := examine(t, front.HTTPS+"/events", "--idle", "2500ms", "--insecure")
			r.expect(t, found, text)
		})
	}
}
