package front

import "strings"

var apache = &Front{
	Name:  "Apache",
	marks: []string{"apache/", "apache "},
	own: func(a Answer) bool {
		return strings.Contains(string(a), "Your browser sent a request that this server could not understand.") ||
			strings.Contains(string(a), "<p>The requested URL's length exceeds the capacity\nlimit for this server.")
	},
	mends: map[string][]Line{
		"buffered": {
			Say("it passes a stream of HTTP on at once; mod_proxy_fcgi needs flushpackets=on"),
			Paste("host", "", "OutputSed"),
			Paste("host", "", "Substitute"),
			Say("mod_buffer holds an answer back: no SetOutputFilter BUFFER"),
		},
		"delayed":    {Say("no mod_ratelimit: no SetOutputFilter RATE_LIMIT")},
		"compressed": {Paste("host", "SetEnvIf Request_URI ^/events no-gzip=1 no-brotli=1", "")},
		"cached":     {Paste("host", "CacheDisable /events", "CacheEnable")},
		"cacheable":  {Paste("host", "Header set Cache-Control \"no-store, no-transform\"", "Header set Cache-Control")},
		"idle-cut":   {Paste("host", "ProxyPass /events http://hub:8080/events timeout=3600", "ProxyPass /events")},
		"cut":        {Say("it has no limit of a whole answer: look at reloads, and at the error log")},
		"no-heartbeat": {
			Say("it passes heartbeats on at once; mod_proxy_fcgi needs flushpackets=on"),
		},
		"ghost": {
			Paste("host", "Protocols h2 http/1.1", "Protocols"),
			Say("over HTTP/1.1 it notices at the second heartbeat after a client has left"),
		},
		"h1-only":          {Paste("host", "Protocols h2 http/1.1", "Protocols")},
		"upstream-http10":  {Paste("host", "", "SetEnv force-proxy-request-1.0")},
		"http10":           {Say("no downgrade-1.0 in BrowserMatch, SetEnvIf or SetEnv")},
		"content-length":   {Say("no mod_buffer: no SetOutputFilter BUFFER; mod_proxy_fcgi needs flushpackets=on")},
		"redirect":         {Say("RewriteRule ^/events - [END], above the redirect")},
		"no-directive":     {Say("ProxyPass /events http://hub:8080/events, above the rewrite to index.php")},
		"status":           {Say("404: ProxyPass /events http://hub:8080/events; 502, 503: is the hub there?")},
		"not-event-stream": {Say("ProxyPass /events http://hub:8080/events, above the rewrite to index.php")},
		"no-answer":        {Say("does ProxyPass lead to the hub? mod_proxy_fcgi needs flushpackets=on")},
		"unreachable":      {Say("Listen and ServerName of the site; is it running?")},
		"certificate":      {Say("SSLCertificateFile with the whole chain, for this name")},
		"resume-header":    {Paste("host", "", "RequestHeader unset Last-Event-ID")},
		"resume-gap":       {Say("without a shared broker: stickysession= on the balancer")},
		"cors-refused":     {Paste("host", "", "Header unset Access-Control-Allow-Origin")},
		"cors-twice":       {Paste("host", "", "Header add Access-Control-Allow-Origin")},
		"cors-credentials": {Paste("host", "", "Header set Access-Control-Allow-Origin")},
		"cors-preflight":   {Say("no RewriteRule and no Limit for OPTIONS")},
		"cookie-samesite":  {Paste("host", `Header edit Set-Cookie $ "; SameSite=None; Secure"`, "")},
	},
}
