package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// ssePushConfig has streams at the first address and the internal route at the second, as the documentation has it for an app on
// the same host. Every setting that is not here has its default. Heartbeats are put off, since nchan sends none unless asked to.
const ssePushConfig = `{
	admin %[1]s
	persist_config off
	auto_https disable_redirects
	servers {
		protocols h1 h2
	}
	log {
		level ERROR
	}
}
%[2]s {
	bind 127.0.0.1
%[3]s	sse_push /events {
		hub main
		user query userId
		heartbeat 5m
	}
}
http://%[4]s {
	sse_push {
		hub main
		internal /_sse {
			allow loopback
		}
	}
}
`

// respondConfig is a site that does nothing: the least that a POST costs.
const respondConfig = `{
	admin off
	persist_config off
	auto_https off
	servers {
		protocols h1
	}
	log {
		level ERROR
	}
}
http://%[1]s {
	respond "ok"
}
`

// build makes the Caddy that is measured, out of the directory above.
func (b *bench) build(ctx context.Context) error {
	if b.caddy != "" {
		return nil
	}
	progress("building Caddy")
	b.caddy = filepath.Join(b.dir, "caddy")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", b.caddy, "./cmd/caddy")
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building Caddy: %w: %s", err, out)
	}
	return nil
}

func startSSEPush(ctx context.Context, b *bench, _ *scenario, p protocol) (*target, error) {
	t := &target{batches: true, encode: encodeSSEPush}
	t.path = func(user int) string { return "/events?userId=" + userName(user) }
	var err error
	admin := "off"
	for _, address := range []*string{&t.address, &t.control} {
		if *address, err = freeAddress(); err != nil {
			return nil, err
		}
	}
	if b.profiles != "" {
		if admin, err = freeAddress(); err != nil {
			return nil, err
		}
		t.pprof = "http://" + admin + "/debug/pprof/profile"
	}
	t.host = t.address
	site, tls := "http://"+t.address, ""
	if p != h1 {
		certificate, key, config := b.identity.files(p)
		t.tls = config
		t.host = "localhost" + t.address[len("127.0.0.1"):]
		site, tls = "https://"+t.host, fmt.Sprintf("\ttls %s %s\n", certificate, key)
	}
	return t, t.startCaddy(ctx, b, fmt.Sprintf(ssePushConfig, admin, site, tls, t.control))
}

// startRespond runs the same Caddy with a site that only answers.
func startRespond(ctx context.Context, b *bench, _ *scenario, _ protocol) (*target, error) {
	t := &target{encode: encodeSSEPush}
	var err error
	if t.control, err = freeAddress(); err != nil {
		return nil, err
	}
	t.address = t.control
	return t, t.startCaddy(ctx, b, fmt.Sprintf(respondConfig, t.control))
}

func (t *target) startCaddy(ctx context.Context, b *bench, config string) (err error) {
	dir := filepath.Join(b.dir, "home")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	file := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return err
	}
	env := []string{"HOME=" + dir, "XDG_DATA_HOME=" + dir, "XDG_CONFIG_HOME=" + dir}
	if t.process, err = startProcess(filepath.Join(dir, "log"), env, b.caddy, "run", "--config", file, "--adapter", "caddyfile"); err != nil {
		return err
	}
	return t.listening(ctx, t.address, t.control)
}

// encodeSSEPush writes one POST: of JSON for one event, of a line of JSON for each of many.
func encodeSSEPush(dst []byte, events []event) ([]byte, int) {
	kind := "application/json"
	if len(events) > 1 {
		kind = "application/x-ndjson"
	}
	var body []byte
	at := now()
	for _, e := range events {
		if e.user < 0 {
			body = append(body, `{"broadcast":true,"data":"`...)
		} else {
			body = append(body, `{"user":"u`...)
			body = strconv.AppendInt(body, int64(e.user), 10)
			body = append(body, `","data":"`...)
		}
		body = appendPayload(body, e, at)
		body = append(body, "\"}\n"...)
	}
	return appendPost(dst, "127.0.0.1", "/_sse/publish", kind, body), 1
}
