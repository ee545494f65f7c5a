package wild_test

import (
	"testing"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

// An app of PHP-FPM that streams by itself is not heard behind Apache over HTTP/1.1, until mod_proxy_fcgi is told to pass on what it has.
// Over HTTP/2 it is.
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
		{name: "as it comes", code: "buffered", lines: harness.Lines{"host": pass}}, // over HTTP/1.1
		{name: "as it comes, cleartext", cleartext: true, code: "no-answer", lines: harness.Lines{"host": pass}},
		{name: "done right", lines: harness.Lines{"host": pass + " flushpackets=on"}},
	} {
		r.also = append(r.also, "cacheable", "no-ids", "no-retry", "own-stream", "php-worker")
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			front := harness.StartFront(t, "Apache", app.Address, r.lines)
			url := front.HTTPS
			if r.cleartext {
				url = front.HTTP
			}
			found, text := examine(t, url+"/events", "--idle", "2500ms", "--insecure")
			r.expect(t, found, text)
		})
	}
	for _, r := range []row{
		{name: "shared by a hub", code: "rejected", also: []string{"sources-failing"}, lines: harness.Lines{"host": pass}},
		{name: "shared by a hub, done right", lines: harness.Lines{"host": pass + " flushpackets=on"}},
	} {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			front := harness.StartFront(t, "Apache", app.Address, r.lines)
			site := "http://localhost:" + harness.Port(t)
			harness.StartCaddy(t, `{
	default_bind 127.0.0.1
}
`+site+` {
	sse_push /events {
		anonymous
		source {
			share everyone
			first_answer 3s
		}
		internal /_sse {
			token `+token+`
		}
	}
	reverse_proxy `+front.HTTP+`
}`)
			found, text := examine(t, site+"/events", "--publish", site+"/_sse", "--token", token, "--idle", "2500ms")
			r.expect(t, found, text)
		})
	}
}
