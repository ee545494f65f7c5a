package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
)

// mercureHubVersion is the newest of Mercure's own hub that is no preview.
const mercureHubVersion = "v0.24.2"

// mercureHub is Mercure's own hub, a Caddy as well. It is licensed under the AGPL.
var mercureHub = peer{
	key:     "mercure",
	program: "github.com/dunglas/mercure/caddy/mercure",
	modules: []string{"github.com/dunglas/mercure/caddy@" + mercureHubVersion, "github.com/caddyserver/caddy/v2@v2.11.9"},
}

// mercureHubConfig keeps no history, which is the best case for the hub. The two sites share its subscribers.
const mercureHubConfig = `{
	admin off
	persist_config off
	auto_https disable_redirects
	servers {
		protocols h1 h2
	}
	log {
		level ERROR
	}
}
(hub) {
	bind 127.0.0.1
	mercure {
		transport local
		anonymous
		publisher_jwt %[1]s
		subscriber_jwt %[1]s
		heartbeat 5m
	}
}
%[2]s {
	import hub
	%[3]s
}
http://%[4]s {
	import hub
}
`

// newMercureHub returns Mercure's hub as a server. Its clients ask for what path returns.
func newMercureHub(variant string, path func(b *bench, s *scenario, client int) string, protocols ...protocol) *server {
	name := "Mercure's hub"
	if variant != "" {
		name += ", " + variant
	}
	start := func(ctx context.Context, b *bench, s *scenario, p protocol) (*target, error) {
		return startMercureHub(ctx, b, p, func(client int) string { return path(b, s, client) })
	}
	return &server{key: mercureHub.key, name: name, variant: variant, protocols: protocols, start: start}
}

// mercureCore has a topic for each user, and one for everybody. A client listens to one of them, as nchan's do.
var mercureCore = newMercureHub("", func(_ *bench, s *scenario, client int) string {
	if s.broadcasts {
		client = everybody
	}
	return mercurePath + "?topic=" + url.QueryEscape(mercureTopic(client))
}, h1, h2)

func startMercureHub(ctx context.Context, b *bench, p protocol, path func(client int) string) (*target, error) {
	if mercureHub.err != nil {
		return nil, mercureHub.err
	}
	var err error
	t := &target{path: path, encode: encodeMercure}
	for _, address := range []*string{&t.address, &t.control} {
		if *address, err = freeAddress(); err != nil {
			return nil, err
		}
	}
	t.host = t.address
	site, tls := "http://"+t.host, ""
	if p != h1 {
		certificate, key, config := b.identity.files(p)
		t.tls, t.host = config, "localhost"+t.address[len("127.0.0.1"):]
		site, tls = "https://"+t.host, "tls "+certificate+" "+key
	}
	dir, err := os.MkdirTemp(b.dir, "mercure-")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(file, fmt.Appendf(nil, mercureHubConfig, mercurePublisher, site, tls, t.control), 0o600); err != nil {
		return nil, err
	}
	env := []string{"HOME=" + dir, "XDG_DATA_HOME=" + dir, "XDG_CONFIG_HOME=" + dir}
	if t.process, err = startProcess(filepath.Join(dir, "log"), env, mercureHub.path, "run", "--config", file, "--adapter", "caddyfile"); err != nil {
		return nil, err
	}
	return t, t.listening(ctx, t.address, t.control)
}

var patternGroup = regexp.MustCompile(`:(\w+)`)

// olderPath returns what a client of n asks for in version 0.x, which Mercure's hub speaks.
func (l *listening) olderPath(client, n int) string {
	newer := l.query(client, n)
	older := url.Values{"topic": newer["match"]}
	for _, pattern := range newer["match_urlpattern"] {
		older.Add("topic", patternGroup.ReplaceAllString(pattern, "{$1}"))
	}
	return mercurePath + "?" + older.Encode()
}
