package front

import "strings"

var squid = &Front{
	Name:  "Squid",
	marks: []string{"squid"},
	own:   func(a Answer) bool { return strings.Contains(string(a), "\r\nX-Squid-Error: ") },
	mends: map[string][]Line{
		"buffered":       {Say("it passes a stream on at once: look at what is behind it"), Paste("config", "", "adaptation_access")},
		"delayed":        {Paste("config", "", "delay_pools")},
		"compressed":     {Say("it does not compress: look at what is behind it")},
		"cached":         {Paste("config", "acl events urlpath_regex ^/events\ncache deny events\ncollapsed_forwarding off", "collapsed_forwarding")},
		"cacheable":      {Paste("config", "acl events urlpath_regex ^/events\ncache deny events", "")},
		"idle-cut":       {Paste("config", "read_timeout 1 hour", "read_timeout"), Paste("config", "write_timeout 1 hour", "write_timeout")},
		"cut":            {Paste("config", "client_lifetime 30 days", "client_lifetime")},
		"no-heartbeat":   {Say("it passes heartbeats on at once: look at what is behind it")},
		"ghost":          {Paste("config", "", "half_closed_clients"), Paste("config", "", "quick_abort_min"), Paste("config", "", "range_offset_limit")},
		"content-length": {Say("no ICAP or eCAP service for the path")},
		"no-answer":      {Say("is the cache_peer there?")},
		"status":         {Say("403: http_access allow; 502, 503: is the cache_peer there?")},
		"redirect":       {Say("no deny_info or url_rewrite_program for the path")},
		"no-directive":   {Say("cache_peer_access with the peer of the hub for /events")},
		"not-event-stream": {
			Say("cache_peer_access with the peer of the hub for /events"),
		},
		"unreachable":   {Say("http_port; is it running?")},
		"certificate":   {Say("https_port tls-cert= with the whole chain, for this name")},
		"h1-only":       {Say("it speaks HTTP/1.1 only: HTTP/2 needs another proxy in front")},
		"resume-header": {Paste("config", "", "request_header_access Last-Event-ID")},
		"resume-gap":    {Say("without a shared broker: sourcehash on the cache_peers")},
		"cors-refused":  {Paste("config", "", "reply_header_access Access-Control-Allow-Origin")},
	},
}
