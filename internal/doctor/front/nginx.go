package front

import "strings"

var nginx = &Front{
	Name:  "nginx",
	marks: []string{"nginx", "openresty"},
	own:   func(a Answer) bool { return strings.Contains(string(a), "<hr><center>nginx") },
	mends: map[string][]Line{
		"buffered": {
			Paste("location", "proxy_buffering off;", "proxy_buffering"), Paste("location", "", "proxy_ignore_headers"),
			Say("nginx behind nginx: in the outer one, as the inner one takes X-Accel-Buffering away"),
		},
		"delayed":        {Paste("location", "proxy_buffering off;", "proxy_buffering"), Paste("location", "", "limit_rate"), Paste("location", "tcp_nodelay on;", "tcp_nodelay")},
		"compressed":     {Paste("location", "gzip off;", "gzip"), Paste("location", "", "gzip_types")},
		"cached":         {Paste("location", "proxy_cache off;", "proxy_cache"), Paste("location", "", "proxy_ignore_headers")},
		"cacheable":      {Paste("location", `add_header Cache-Control "no-store, no-transform";`, "add_header Cache-Control"), Paste("location", "", "proxy_hide_header")},
		"idle-cut":       {Paste("location", "proxy_read_timeout 1h;", "proxy_read_timeout"), Paste("location", "send_timeout 1h;", "send_timeout")},
		"cut":            {Say("it has no limit of a whole answer: look at reloads with worker_shutdown_timeout, and at the error log")},
		"no-heartbeat":   {Paste("location", "proxy_buffering off;", "proxy_buffering"), Paste("location", "", "proxy_ignore_headers")},
		"ghost":          {Paste("location", "proxy_ignore_client_abort off;", "proxy_ignore_client_abort")},
		"h1-only":        {Say("http2 on; beside listen 443 ssl; (before 1.25.1: listen 443 ssl http2;)")},
		"content-length": {Paste("location", "proxy_buffering off;", "proxy_buffering"), Paste("location", "", "proxy_ignore_headers")},
		"upstream-http10": {
			Paste("location", "proxy_http_version 1.1;", "proxy_http_version"),
			Paste("location", `proxy_set_header Connection "";`, "proxy_set_header Connection"),
		},
		"http10":           {Paste("location", "chunked_transfer_encoding on;", "chunked_transfer_encoding")},
		"redirect":         {Say("a location = /events of its own, above the return 301")},
		"no-directive":     {Say("location = /events { proxy_pass http://hub:8080; }, without auth_request, above try_files and return")},
		"status":           {Say("404: location /events { proxy_pass http://hub:8080; }; 502, 504: is the hub there?")},
		"not-event-stream": {Say("location /events { proxy_pass http://hub:8080; }, above try_files")},
		"no-answer":        {Paste("location", "proxy_buffering off;", "proxy_buffering"), Paste("location", "", "proxy_ignore_headers"), Say("does proxy_pass lead to the hub?")},
		"unreachable":      {Say("listen and server_name of the site; is it running?")},
		"certificate":      {Say("ssl_certificate with the whole chain, for this name")},
		"resume-header":    {Paste("location", "", "proxy_pass_request_headers"), Paste("location", "", "proxy_set_header Last-Event-ID")},
		"resume-gap":       {Say("without a shared broker: ip_hash; in the upstream")},
		"cors-refused":     {Paste("location", "", "proxy_hide_header Access-Control-Allow-Origin"), Paste("location", "", "proxy_set_header Origin")},
		"cors-twice":       {Paste("location", "", "add_header Access-Control-Allow-Origin")},
		"cors-credentials": {Paste("location", "", "add_header Access-Control-Allow-Origin")},
		"cors-preflight":   {Say("no answer of its own to OPTIONS: proxy_pass it")},
		"cookie-samesite":  {Paste("location", "proxy_cookie_flags ~ samesite=none secure;", "proxy_cookie_flags")},
	},
}
