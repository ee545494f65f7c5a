package main

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
)

// caddyfile has streams at the site and the internal route at an address of its own, as the documentation has it for an app on
// the same host. Every setting that is not here has its default. Heartbeats are put off, since nchan sends none unless asked to.
var caddyfile = template.Must(template.New("Caddyfile").Parse(`{
	admin {{or .Admin "off"}}
	persist_config off
	auto_https disable_redirects
	servers {
		protocols {{.Protocols}}
{{- if .Wrapper}}
		listener_wrappers {
			sse_push
		}
{{- end}}
	}
	log {
		level ERROR
	}
}
{{if .Certificate}}https{{else}}http{{end}}://{{.Host}} {
	bind 127.0.0.1
{{- if .Certificate}}
	tls {{.Certificate}} {{.Key}}
{{- end}}
{{- if .Streams}}
	sse_push /events {
		hub main
		user query userId
		heartbeat 5m
{{- if .Limits}}
		limits {
			per_user 5
			per_ip 5
		}
{{- end}}
	}
{{- end}}
{{- if .Mercure}}
	sse_push {
		heartbeat 5m
		mercure {
			anonymous
			publisher_jwt {{.Publisher}}
			issuer https://app.example.com {
				publisher {
					jwt {{.Issuer}}
				}
			}
			resource_identifier https://hub.example.com/.well-known/mercure
		}
	}
{{- end}}
{{- if .Files}}
	root {{.Files}}
	file_server
	respond /small "ok"
	vars /upload body {http.request.body}
	respond /upload "ok"
{{- end}}
{{- if .Proxy}}
	reverse_proxy {{.Model}}
{{- end}}
}
http://{{.Control}} {
{{- if .Streams}}
	sse_push {
		hub main
		internal /_sse {
			allow loopback
		}
{{- if .Relays}}
		relay {
			to {{.Model}} private
			done {{.App}}
			secret only-for-a-benchmark-on-this-machine
		}
{{- end}}
{{- if .Broker}}
		broker {{.Broker}}
{{- end}}
	}
{{- else}}
	respond "ok"
{{- end}}
}
`))

// caddy is the configuration of a Caddy to measure.
type caddy struct {
	before  bool       // run the build before
	streams bool       // configure sse_push; without it, publishes are answered and nothing is delivered
	limits  bool       // limit the clients of each address and user
	relays  bool       // fetch answers of the model, and tell the app of their ends
	proxy   bool       // pass requests on to the model
	mercure *listening // speak Mercure with such clients; nil if not
}

// values fill in the Caddyfile.
type values struct {
	Admin, Protocols, Host, Certificate, Key, Control, Files, Model, App, Broker string
	Publisher, Issuer                                                            string
	Wrapper, Streams, Limits, Relays, Proxy, Mercure                             bool
}

// newCaddy returns a Caddy as a server, for all protocols if none are named.
func newCaddy(name string, c caddy, protocols ...protocol) *server {
	if protocols == nil {
		protocols = allProtocols
	}
	s := &server{key: "ssepush", name: name, protocols: protocols, judged: c.streams && !c.before, start: c.start, wrapped: c.wrapped}
	if c.before {
		s.key = "before"
	}
	switch {
	case c.mercure != nil:
		s.judged, s.variant = true, c.mercure.name
	case !c.streams:
		s.variant = name // it is compared with no other row
	case c.limits:
		s.variant = "limits"
	case c.relays:
		s.variant = "relays"
	}
	return s
}

func (c *caddy) start(ctx context.Context, b *bench, s *scenario, p protocol) (*target, error) {
	return c.startOn(ctx, b, s, p, "")
}

// startOn starts a Caddy with a broker, as the Caddyfile names it; "" is the memory broker.
func (c *caddy) startOn(ctx context.Context, b *bench, s *scenario, p protocol, broker string) (*target, error) {
	t := &target{batches: c.streams, encode: encodeSSEPush, addresses: c.limits}
	site := values{Protocols: "h1 h2", Wrapper: c.wrapped(b, p), Streams: c.streams, Limits: c.limits, Relays: c.relays, Proxy: c.proxy, Broker: broker}
	switch {
	case c.mercure != nil:
		site.Mercure, site.Publisher, site.Issuer = true, mercurePublisher, mercureIssuer
		t.path = func(client int) string { return c.mercure.path(client, b.storm) }
		t.encode = encodeMercure
	case c.relays:
		t.path = func(tab int) string { return relayPath(tab / b.tabs) }
	case c.streams:
		t.path = func(user int) string { return "/events?userId=" + userName(user) }
	case c.proxy:
		t.path = func(tab int) string { return modelPath(tab / b.tabs) }
	}
	if c.relays || c.proxy {
		if err := b.startModel(); err != nil {
			return nil, err
		}
		site.Model, site.App = b.model.url, b.app.url
	}
	if s.files {
		site.Files = filepath.Join(b.dir, "files")
		if err := writeFiles(site.Files); err != nil {
			return nil, err
		}
	}
	var err error
	var control string
	for _, address := range []*string{&t.address, &control} {
		if *address, err = freeAddress(); err != nil {
			return nil, err
		}
	}
	t.control = control
	profiled := b.profiles != "" && c.streams && !c.before
	if profiled || c.relays {
		if site.Admin, err = freeAddress(); err != nil {
			return nil, err
		}
		t.admin = "http://" + site.Admin
	}
	if profiled {
		t.pprof = t.admin + "/debug/pprof/"
	}
	if c.mercure != nil {
		t.control = t.address // its own doors do the publishing
	}
	t.host = t.address
	if p != h1 {
		site.Certificate, site.Key, t.tls = b.identity.files(p)
		t.host = "localhost" + t.address[len("127.0.0.1"):]
	}
	if p == h3 {
		site.Protocols += " h3"
	}
	site.Host, site.Control = t.host, control

	dir, err := os.MkdirTemp(b.dir, "caddy-")
	if err != nil {
		return nil, err
	}
	var config strings.Builder
	if err := caddyfile.Execute(&config, site); err != nil {
		return nil, err
	}
	t.config = filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(t.config, []byte(config.String()), 0o600); err != nil {
		return nil, err
	}
	return t, c.run(ctx, b, t)
}

// run runs a Caddy that has been configured. It may have run before.
func (c *caddy) run(ctx context.Context, b *bench, t *target) (err error) {
	build := b.build
	if c.before {
		build = b.before
	}
	dir := filepath.Dir(t.config)
	env := []string{"HOME=" + dir, "XDG_DATA_HOME=" + dir, "XDG_CONFIG_HOME=" + dir}
	if t.process, err = startProcess(filepath.Join(dir, "log"), env, build.path, "run", "--config", t.config, "--adapter", "caddyfile"); err != nil {
		return err
	}
	return t.listening(ctx, t.address, t.control)
}

// wrapped reports whether the listener wrapper is in the config: for TLS, if the build has it.
func (c *caddy) wrapped(b *bench, p protocol) bool {
	build := b.build
	if c.before {
		build = b.before
	}
	return c.streams && p != h1 && build.wrapper
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
