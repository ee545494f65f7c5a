package e2e_test

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/test/harness"
)

// diagnosis is the JSON of a report.
type diagnosis struct {
	Healthy bool
	Front   string
	Streams []struct {
		Name       string
		Protocol   string
		Probe      *int64 `json:"probe_ms"`
		Heartbeats int
	}
	Findings  []struct{ Code, Severity, Where, Seen string }
	Unchecked []string
}

// sick is a set-up and what is wrong with it.
type sick struct {
	name      string
	http      string // of nginx, beside its server
	location  string // of nginx
	heartbeat string
	idle      string
	want      []string // codes
	seen      string   // of one of them
}

var wards = []sick{
	{name: "done right", location: "proxy_buffering off; proxy_http_version 1.1; proxy_set_header Connection '';"},
	{name: "on its defaults", want: []string{"upstream-http10"}, seen: "HTTP/1.0"}, // a note: it does no harm
	{
		name:     "buffering",
		location: "proxy_ignore_headers X-Accel-Buffering; proxy_http_version 1.1;",
		want:     []string{"buffered"}, seen: "though the hub",
	},
	{
		name:     "buffering, by HTTP/1.0",
		location: "proxy_ignore_headers X-Accel-Buffering;",
		want:     []string{"buffered", "upstream-http10"}, seen: "KiB more",
	},
	{
		name:     "gzip forced",
		location: "gzip_types text/event-stream; gzip_min_length 0; gzip_proxied any; proxy_http_version 1.1;",
		want:     []string{"compressed"}, seen: "gzip",
	},
	{
		name:     "gzip and buffering",
		location: "proxy_ignore_headers X-Accel-Buffering; gzip_types text/event-stream; gzip_min_length 0; gzip_proxied any; proxy_http_version 1.1;",
		want:     []string{"buffered"}, seen: "though the hub", // so much that no header tells of gzip
	},
	{
		name:      "a timeout of 5 s",
		location:  "proxy_read_timeout 5s; proxy_http_version 1.1;",
		heartbeat: "1m", idle: "7s",
		want: []string{"idle-cut"}, seen: "s of silence",
	},
	{
		name: "a cache",
		http: "proxy_cache_path $DIR/cache keys_zone=events:1m;",
		location: "proxy_cache events; proxy_cache_valid 200 1m; proxy_ignore_headers Cache-Control Expires X-Accel-Buffering;" +
			"proxy_http_version 1.1;",
		want: []string{"buffered", "cached"}, seen: "though the hub", // what it caches, it buffers
	},
	{
		name:     "Last-Event-ID taken away",
		location: "proxy_set_header Last-Event-ID ''; proxy_http_version 1.1;",
		want:     []string{"resume-header"}, seen: "began at the newest",
	},
}

// Against nginx as it should be, and as it should not: each fault is named, and no other.
func TestDoctorBehindNginx(t *testing.T) {
	cert, key := harness.Certificate(t, harness.Dir(t))
	runs := make([][]string, len(wards))
	var sites, servers strings.Builder
	for i, w := range wards {
		hub, front := harness.Port(t), harness.Port(t)
		heartbeat := w.heartbeat
		if heartbeat == "" {
			heartbeat = "1s"
		}
		fmt.Fprintf(&sites, `
http://localhost:%s {
	sse_push /events {
		hub hub%d
		user query userId
		heartbeat %s
		internal /_sse {
			token s3cret
		}
	}
}`, hub, i, heartbeat)
		fmt.Fprintf(&servers, "%s\nserver { listen 127.0.0.1:%s ssl http2; ssl_certificate %s; ssl_certificate_key %s; location / { proxy_pass http://localhost:%s; %s } }\n",
			strings.ReplaceAll(w.http, "$DIR", harness.Dir(t)), front, cert, key, hub, w.location)
		idle := w.idle
		if idle == "" {
			idle = "2500ms"
		}
		runs[i] = []string{
			"https://localhost:" + front + "/events?userId=u1", "--origin-url", "http://localhost:" + hub,
			"--publish", "http://localhost:" + hub + "/_sse", "--token", "s3cret", "--idle", idle, "--timeout", "2s", "--insecure",
		}
	}
	harness.StartCaddy(t, "{\n\tdefault_bind 127.0.0.1\n}\n"+sites.String())
	harness.StartNginx(t, "server { listen 127.0.0.1:$PORT; }\n"+servers.String())

	for i, w := range wards {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			report := examine(t, runs[i]...)
			expectFindings(t, report, w.want...)
			if text := fmt.Sprint(report.Findings); !strings.Contains(text, w.seen) {
				t.Errorf("found %s, want something of %q", text, w.seen)
			}
			for _, f := range report.Findings {
				if f.Where == "at the hub itself" {
					t.Errorf("%s is said to be the hub's", f.Code)
				}
			}
			if report.Front != "nginx" {
				t.Errorf("the front is said to be %q", report.Front)
			}
		})
	}
}

func TestDoctorOfCaddyAlone(t *testing.T) {
	port := harness.Port(t)
	harness.StartCaddy(t, `{
	default_bind 127.0.0.1
	skip_install_trust
	auto_https disable_redirects
}
https://localhost:`+port+` {
	tls internal
	encode zstd gzip
	sse_push /events {
		user query userId
		heartbeat 1s
		cors_origins https://app.example.com
		internal /_sse {
			allow loopback
		}
	}
}`)
	url := "https://localhost:" + port
	brokertest.Eventually(t, "Caddy has its certificate", func() bool {
		conn, err := tls.Dial("tcp", "localhost:"+port, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
	run := []string{url + "/events?userId=u1", "--publish", url + "/_sse/publish", "--idle", "2500ms"}
	report := examine(t, append(run, "--insecure", "--origin", "https://app.example.com")...)
	expectFindings(t, report)
	if len(report.Streams) != 4 || report.Streams[2].Protocol != "HTTP/2.0" || report.Streams[2].Heartbeats < 2 || report.Streams[2].Probe == nil {
		t.Errorf("streams: %+v", report.Streams)
	}

	expectFindings(t, examine(t, append(run, "--quick")...), "certificate")
	expectFindings(t, examine(t, append(run, "--quick", "--insecure", "--origin", "https://elsewhere.example")...), "cors-refused")
}

// A loop as PHP has always streamed.
func TestDoctorOfPHP(t *testing.T) {
	dir := harness.Dir(t)
	harness.WriteFile(t, dir, "loop.php", `<?php
header('Content-Type: text/event-stream');
while (true) {
    echo 'data: ', date(DATE_ATOM), "\n\n";
    @ob_flush();
    flush();
    usleep(300000);
}`)
	fpm := harness.StartFPM(t, 4)
	report := examine(t, serve(t, `
	root * `+dir+`
	php_fastcgi `+fpm.Address)+"/loop.php", "--idle", "1s")
	expectFindings(t, report, "cacheable", "h1-here", "no-ids", "no-retry", "php-worker")
	if report.Healthy || !slices.ContainsFunc(report.Unchecked, func(u string) bool { return strings.Contains(u, "no stream of sse_push") }) {
		t.Errorf("healthy: %v; unchecked: %q", report.Healthy, report.Unchecked)
	}
}

// examine runs the command, and compares what it says with the exit code.
func examine(t *testing.T, args ...string) (d diagnosis) {
	t.Helper()
	out, err := harness.RunCaddy(t, append([]string{"sse-push", "doctor", "--json"}, args...)...)
	if json.Unmarshal([]byte(out), &d) != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var exit *exec.ExitError
	if d.Healthy != (err == nil) || err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		t.Errorf("healthy: %v, but the command ended by %v", d.Healthy, err)
	}
	if strings.Contains(out, "s3cret") {
		t.Errorf("the token was printed:\n%s", out)
	}
	return d
}

// expectFindings compares the codes, in the order of the alphabet, and whether that is healthy.
func expectFindings(t *testing.T, d diagnosis, want ...string) {
	t.Helper()
	var codes []string
	healthy := true
	for _, f := range d.Findings {
		codes = append(codes, f.Code)
		healthy = healthy && f.Severity == "note"
	}
	slices.Sort(codes)
	if !slices.Equal(codes, want) || d.Healthy != healthy {
		text, _ := json.MarshalIndent(d, "", "  ")
		t.Errorf("found %q, want %q; healthy: %v\n%s", codes, want, d.Healthy, text)
	}
}
