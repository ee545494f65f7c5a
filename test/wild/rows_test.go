package wild_test

import "github.com/sse-push/caddy-sse-push/test/harness"

const (
	quick = "1s" // a heartbeat that no test waits for

	// Of a silent stream: the heartbeat is longer than the stream is left idle, which is longer than the limit of the front.
	silent     = "1m"
	still      = "2m"
	waits      = "7s"
	proxied    = "ProxyPass /events http://hub:8080/events\n"
	compressed = "gzip_types text/event-stream;\ngzip_min_length 0;\ngzip_proxied any;\nproxy_http_version 1.1;"
)

// What is right to say beside another finding.
var (
	silence = []string{"no-heartbeat"} // of a hub whose heartbeat is longer than the test
	h1      = []string{"h1-only"}      // of a front that cannot negotiate HTTP/2
)

var rows = []row{
	{front: "nginx", name: "as it comes", short: true},
	{front: "nginx", name: "done right", page: []string{"server"}},
	{front: "nginx", name: "buffering", code: "buffered", mended: true, short: true,
		lines: harness.Lines{"location": "proxy_ignore_headers X-Accel-Buffering;\nproxy_http_version 1.1;"}},
	{front: "nginx", name: "buffering by HTTP 1.0", code: "buffered", mended: true,
		lines: harness.Lines{"location": "proxy_ignore_headers X-Accel-Buffering;"}},
	{front: "nginx", name: "compressing", code: "compressed", mended: true, lines: harness.Lines{"location": compressed}},
	{front: "nginx", name: "a short timeout", code: "idle-cut", mended: true, heartbeat: silent, idle: waits,
		lines: harness.Lines{"location": "proxy_read_timeout 3s;\nproxy_http_version 1.1;"}},
	{front: "nginx", name: "a cache", code: "cached", also: []string{"buffered"}, mended: true, lines: harness.Lines{
		"shared": "proxy_cache_path $DIR/cache keys_zone=events:1m;",
		"location": "proxy_cache events;\nproxy_cache_valid 200 1m;\nproxy_ignore_headers Cache-Control Expires X-Accel-Buffering;\n" +
			"proxy_http_version 1.1;"}},
	{front: "nginx", name: "silence", code: "idle-cut", also: silence, mended: true, heartbeat: still, idle: "65s",
		lines: harness.Lines{"location": "proxy_http_version 1.1;"}},
	{front: "nginx", name: "no Last-Event-ID", code: "resume-header", mended: true,
		lines: harness.Lines{"location": "proxy_set_header Last-Event-ID '';\nproxy_http_version 1.1;"}},

	{front: "nginx twice", name: "as it comes", code: "buffered", mended: true, short: true},
	{front: "nginx twice", name: "done right", page: []string{"inner location", "server"}, short: true},

	{front: "Apache", name: "as it comes", short: true},
	{front: "Apache", name: "done right", page: []string{"host"}},
	{front: "Apache", name: "compressing", code: "compressed", mended: true, short: true,
		lines: harness.Lines{"host": proxied + "SetOutputFilter DEFLATE"}},
	{front: "Apache", name: "compressing by brotli", code: "compressed", mended: true,
		lines: harness.Lines{"host": proxied + "SetOutputFilter BROTLI_COMPRESS"}},
	{front: "Apache", name: "a filter", code: "buffered", mended: true, lines: harness.Lines{
		"host": proxied + "<Location /events>\nSetOutputFilter Sed\nOutputSed \"s/apples/pears/\"\n</Location>"}},
	{front: "Apache", name: "a short timeout", code: "idle-cut", mended: true, heartbeat: silent, idle: waits,
		lines: harness.Lines{"host": "ProxyPass /events http://hub:8080/events timeout=3"}},
	{front: "Apache", name: "HTTP 1.0 to the hub", code: "upstream-http10", mended: true,
		lines: harness.Lines{"host": proxied + "SetEnv force-proxy-request-1.0 1"}},

	{front: "HAProxy", name: "as it comes", short: true},
	{front: "HAProxy", name: "as it comes, cleartext", cleartext: true, code: "delayed", mended: true},
	{front: "HAProxy", name: "done right", page: []string{"defaults"}},
	{front: "HAProxy", name: "done right, cleartext", page: []string{"defaults"}, cleartext: true},
	{front: "HAProxy", name: "compressing", lines: harness.Lines{"backend": "compression algo gzip\ncompression type text/event-stream"}},
	{front: "HAProxy", name: "waiting for a request's body", lines: harness.Lines{"frontend": "http-request wait-for-body time 30s"}},
	{front: "HAProxy", name: "waiting for a body", code: "buffered", mended: true, short: true,
		lines: harness.Lines{"backend": "http-response wait-for-body time 30s"}},
	{front: "HAProxy", name: "a short timeout", code: "idle-cut", mended: true, heartbeat: silent, idle: waits,
		lines: harness.Lines{"defaults": "timeout server 3s"}},
	{front: "HAProxy", name: "a short timeout of clients", heartbeat: silent, idle: waits, lines: harness.Lines{"defaults": "timeout client 3s"}},
	{front: "HAProxy", name: "silence", code: "idle-cut", also: silence, mended: true, heartbeat: silent, idle: "55s"},

	{front: "Varnish", name: "as it comes", short: true},
	{front: "Varnish", name: "done right", page: []string{"vcl"}},
	{front: "Varnish", name: "done right, by parameters", page: []string{"parameters"}},
	{front: "Varnish", name: "compressing", code: "buffered", also: []string{"compressed"}, mended: true,
		lines: harness.Lines{"vcl": "sub vcl_backend_response { set beresp.do_gzip = true; }"}},
	{front: "Varnish", name: "not streaming", code: "buffered", mended: true, short: true,
		lines: harness.Lines{"vcl": "sub vcl_backend_response { set beresp.do_stream = false; }"}},
	{front: "Varnish", name: "a short timeout", code: "idle-cut", mended: true, heartbeat: silent, idle: waits,
		lines: harness.Lines{"parameters": "-p between_bytes_timeout=3"}},
	{front: "Varnish", name: "silence", code: "idle-cut", also: silence, mended: true, heartbeat: still, idle: "65s"},
	{front: "Varnish", name: "a limit of the whole answer", code: "cut", mended: true, idle: waits,
		lines: harness.Lines{"parameters": "-p send_timeout=4"}},

	{front: "Squid", name: "as it comes", short: true},
	{front: "Squid", name: "done right", page: []string{"config"}},
	{front: "Squid", name: "a short timeout", code: "idle-cut", mended: true, heartbeat: silent, idle: waits, short: true,
		lines: harness.Lines{"config": "read_timeout 3 seconds"}},
	{front: "Squid", name: "a limit of the whole answer", code: "cut", mended: true, idle: waits,
		lines: harness.Lines{"config": "client_lifetime 4 seconds"}},
	{front: "Squid", name: "sharing a stream", code: "cached", mended: true,
		lines: harness.Lines{"config": "collapsed_forwarding on\nrefresh_pattern . 1 100% 1 ignore-no-store ignore-reload override-expire"}},

	{front: "lighttpd", name: "as it comes", code: "buffered", mended: true, short: true},
	{front: "lighttpd", name: "done right", page: []string{"config"}, short: true},
	{front: "lighttpd", name: "done right, compressing", lines: harness.Lines{"config": "server.stream-response-body = 2\n" +
		`deflate.mimetypes = ("text/")`}},
	{front: "lighttpd", name: "a short timeout", code: "idle-cut", mended: true, heartbeat: silent, idle: waits,
		lines: harness.Lines{"config": "server.stream-response-body = 1\nserver.max-write-idle = 3"}},
	{front: "lighttpd", name: "a short timeout of clients", heartbeat: silent, idle: waits,
		lines: harness.Lines{"config": "server.stream-response-body = 1\nserver.max-read-idle = 3"}},

	{front: "h2o", name: "as it comes", short: true},
	{front: "h2o", name: "done right", page: []string{"config"}},
	{front: "h2o", name: "compressing", lines: harness.Lines{"config": "compress: ON"}},
	{front: "h2o", name: "a short timeout", code: "idle-cut", mended: true, heartbeat: silent, idle: waits, short: true,
		lines: harness.Lines{"config": "proxy.timeout.io: 3000"}},
	{front: "h2o", name: "silence", code: "idle-cut", also: silence, mended: true, heartbeat: silent, idle: "35s"},

	{front: "Traffic Server", name: "as it comes", short: true},
	{front: "Traffic Server", name: "done right", page: []string{"records.config"}},
	{front: "Traffic Server", name: "a short timeout", code: "idle-cut", mended: true, heartbeat: silent, idle: waits,
		lines: harness.Lines{"records.config": "CONFIG proxy.config.http.transaction_no_activity_timeout_in INT 3"}},
	{front: "Traffic Server", name: "a limit of the whole answer", code: "cut", mended: true, idle: waits, short: true,
		lines: harness.Lines{"records.config": "CONFIG proxy.config.http.transaction_active_timeout_in INT 4"}},
	{front: "Traffic Server", name: "silence", code: "idle-cut", also: silence, mended: true, heartbeat: silent, idle: "35s"},

	{front: "hitch", name: "as it comes", code: "h1-only", mended: true, short: true},
	{front: "hitch", name: "done right", page: []string{"config"}, short: true},
	{front: "hitch", name: "HTTP 2 for a hub that has none", heartbeat: oldHub, code: "unreachable", also: h1, mended: true,
		lines: harness.Lines{"config": `alpn-protos = "h2, http/1.1"`}},

	{front: "stunnel", name: "as it comes", also: h1, short: true},
	{front: "stunnel", name: "done right", also: h1, page: []string{"service"}},
	{front: "stunnel", name: "a short timeout", code: "idle-cut", also: h1, mended: true, heartbeat: silent, idle: waits, short: true,
		lines: harness.Lines{"service": "TIMEOUTidle = 3"}},

	{front: "Caddy", name: "as it comes", short: true},
	{front: "Caddy", name: "done right", page: []string{"site"}},
	{front: "Caddy", name: "compressing", lines: harness.Lines{"site": "encode zstd gzip\n" + "reverse_proxy /events hub:8080"}},
	{front: "Caddy", name: "buffering", code: "buffered", mended: true, short: true,
		lines: harness.Lines{"reverse_proxy": "response_buffers 1MiB"}},
	{front: "Caddy", name: "a short timeout", code: "idle-cut", mended: true, heartbeat: silent, idle: waits,
		lines: harness.Lines{"reverse_proxy": "transport http {\nread_timeout 3s\n}"}},
	{front: "Caddy", name: "a limit of the whole answer", code: "cut", mended: true, idle: waits,
		lines: harness.Lines{"global": "servers {\ntimeouts {\nwrite 4s\n}\n}"}},
}
