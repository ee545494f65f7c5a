package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

const (
	nchanModule  = "/usr/lib/nginx/modules/ngx_nchan_module.so"
	nchanInstall = "apt-get install libnginx-mod-nchan nginx-light"
)

// nchanConfig is nginx with nchan as it is in Debian: a channel for each user, and one for everybody. A client listens
// to one of them, whichever a scenario needs, which is the best case for nchan.
const nchanConfig = `load_module %[1]s;
daemon off;
user root;
worker_processes %[2]s;
pid %[3]s/nginx.pid;
error_log stderr crit;
events {
	worker_connections 65536;
}
http {
	access_log off;
	client_body_temp_path %[3]s/body;
	proxy_temp_path %[3]s/proxy;
	fastcgi_temp_path %[3]s/fastcgi;
	uwsgi_temp_path %[3]s/uwsgi;
	scgi_temp_path %[3]s/scgi;
	keepalive_requests 100000000;
	client_header_buffer_size 4k;
	client_body_buffer_size 64k;
	nchan_shared_memory_size 1024m;
	nchan_message_buffer_length 10000;
	nchan_message_timeout 1h;
	server {
		listen %[4]s backlog=4096%[5]s;
		location = /sub {
			nchan_subscriber eventsource;
			nchan_subscriber_first_message newest;
			nchan_channel_id $arg_id;
		}
	}
	server {
		listen %[6]s;
		location = /pub {
			nchan_publisher;
			nchan_channel_id $arg_id;
		}
	}
}
`

func startNchan(ctx context.Context, b *bench, s *scenario, p protocol) (*target, error) {
	program, err := exec.LookPath("nginx")
	if err == nil {
		_, err = os.Stat(nchanModule)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s", errMissing, nchanInstall)
	}
	t := &target{encode: encodeNchan}
	channel := userName
	if s.broadcasts {
		channel = func(int) string { return "all" }
	}
	t.path = func(user int) string { return "/sub?id=" + channel(user) }
	for _, address := range []*string{&t.address, &t.control} {
		if *address, err = freeAddress(); err != nil {
			return nil, err
		}
	}
	t.host = t.address
	listen := ""
	if p != h1 {
		certificate, key, config := b.identity.files(p)
		t.tls, t.host = config, "localhost"
		listen = " ssl"
		if p.alpn() == "h2" {
			listen = " ssl http2"
		}
		listen += fmt.Sprintf(";\n\t\tssl_certificate %s;\n\t\tssl_certificate_key %s", certificate, key)
	}
	dir := filepath.Join(b.dir, "nchan")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf(nchanConfig, nchanModule, b.nchanWorkers, dir, t.address, listen, t.control)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	if t.process, err = startProcess(filepath.Join(dir, "log"), nil, program, "-p", dir, "-e", "stderr", "-c", file); err != nil {
		return nil, err
	}
	return t, t.listening(ctx, t.address, t.control)
}

// encodeNchan writes one POST for each event, since nchan knows no other way.
func encodeNchan(dst []byte, events []event) ([]byte, int) {
	var body []byte
	at := now()
	for _, e := range events {
		path := "/pub?id=all"
		if e.user >= 0 {
			path = "/pub?id=u" + strconv.Itoa(e.user)
		}
		body = appendPayload(body[:0], e, at)
		dst = appendPost(dst, "localhost", path, "text/plain", body)
	}
	return dst, len(events)
}
