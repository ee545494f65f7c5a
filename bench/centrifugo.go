package main

import (
	"context"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

const centrifugoVersion = "v6.9.1"

var centrifugo = peer{
	key:     "centrifugo",
	program: "github.com/centrifugal/centrifugo/v6",
	modules: []string{"github.com/centrifugal/centrifugo/v6@" + centrifugoVersion},
}

// centrifugoCore has a channel for each user, and one for everybody, as nchan has. It keeps no history and asks nobody who a client is,
// which is the best case for it.
var centrifugoCore = &server{key: centrifugo.key, name: "Centrifugo", protocols: []protocol{h1, h2}, start: startCentrifugo}

func startCentrifugo(ctx context.Context, b *bench, s *scenario, p protocol) (*target, error) {
	if centrifugo.err != nil {
		return nil, centrifugo.err
	}
	channel := userName
	if s.broadcasts {
		channel = func(int) string { return "all" }
	}
	t := &target{encode: encodeCentrifugo, path: func(user int) string {
		return "/connection/uni_sse?" + url.Values{"cf_connect": {`{"subs":{"` + channel(user) + `":{}}}`}}.Encode()
	}}
	var err error
	for _, address := range []*string{&t.address, &t.control} {
		if *address, err = freeAddress(); err != nil {
			return nil, err
		}
	}
	t.host = t.address
	host, port, _ := strings.Cut(t.address, ":")
	_, internal, _ := strings.Cut(t.control, ":")
	server := map[string]any{"address": host, "port": port, "internal_address": host, "internal_port": internal}
	if p != h1 {
		certificate, key, config := b.identity.files(p)
		t.tls, t.host = config, "localhost:"+port
		server["tls_external"], server["tls"] = true, map[string]any{"enabled": true, "cert_pem": certificate, "key_pem": key}
	}
	config, err := json.Marshal(map[string]any{
		"http_server": server,
		"http_api":    map[string]any{"insecure": true},
		"client":      map[string]any{"insecure": true, "ping_interval": "5m", "pong_timeout": "1m"},
		"uni_sse":     map[string]any{"enabled": true},
		"log":         map[string]any{"level": "error"},
	})
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(b.dir, "centrifugo-")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "config.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		return nil, err
	}
	if t.process, err = startProcess(filepath.Join(dir, "log"), nil, centrifugo.path, "--config", file); err != nil {
		return nil, err
	}
	return t, t.listening(ctx, t.address, t.control)
}

// encodeCentrifugo writes one POST for each event.
func encodeCentrifugo(dst []byte, events []event) ([]byte, int) {
	var body []byte
	at := now()
	for _, e := range events {
		channel := "all"
		if e.user >= 0 {
			channel = userName(e.user)
		}
		body = append(body[:0], `{"channel":"`+channel+`","data":"`...)
		body = append(appendPayload(body, e, at), `"}`...)
		dst = appendPost(dst, "127.0.0.1", "/api/publish", "application/json", body)
	}
	return dst, len(events)
}
