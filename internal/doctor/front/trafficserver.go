package front

import "strings"

const records = "records.config"

var trafficServer = &Front{
	Name:  "Traffic Server",
	marks: []string{"ats/", "trafficserver", "traffic_server"},
	own: func(a Answer) bool {
		return strings.Contains(string(a), "Description: Could not process this request.")
	},
	mends: map[string][]Line{
		"buffered":   {Say("it passes a stream on at once: look at its plugins, and at what is behind it")},
		"delayed":    {Say("no plugin rate_limit; look at what is behind it")},
		"compressed": {Say("no plugin compress.so for text/event-stream")},
		"cached":     {Say("cache.config: dest_host=example.com prefix=/events action=never-cache")},
		"cacheable":  {Say("header_rewrite: set-header Cache-Control \"no-store, no-transform\"")},
		"idle-cut": {
			Paste(records, "CONFIG proxy.config.http.transaction_no_activity_timeout_in INT 120", "CONFIG proxy.config.http.transaction_no_activity_timeout_in"),
			Paste(records, "CONFIG proxy.config.http.transaction_no_activity_timeout_out INT 120", "CONFIG proxy.config.http.transaction_no_activity_timeout_out"),
		},
		"cut": {
			Paste(records, "CONFIG proxy.config.http.transaction_active_timeout_in INT 0", "CONFIG proxy.config.http.transaction_active_timeout_in"),
			Paste(records, "CONFIG proxy.config.http.transaction_active_timeout_out INT 0", "CONFIG proxy.config.http.transaction_active_timeout_out"),
		},
		"no-heartbeat":   {Say("it passes heartbeats on at once: look at what is behind it")},
		"ghost":          {Say("over HTTP/2 it notices at once; over HTTP/1.1 at the second heartbeat after a client has left")},
		"content-length": {Say("no plugin that reads the whole answer")},
		"no-answer":      {Say("does remap.config lead to the hub?")},
		"status":         {Say("404: a map in remap.config; 502: is the hub there?")},
		"redirect":       {Say("no redirect in remap.config for the path")},
		"no-directive":   {Say("remap.config: map https://example.com/events http://hub:8080/events, above the others")},
		"not-event-stream": {
			Say("remap.config: map https://example.com/events http://hub:8080/events, above the others"),
		},
		"unreachable":   {Say("proxy.config.http.server_ports; is it running?")},
		"certificate":   {Say("ssl_multicert.config with the whole chain, for this name")},
		"h1-only":       {Say("proxy.config.http.server_ports STRING 443:ssl, whose protocols have http2")},
		"resume-header": {Say("header_rewrite: no rm-header Last-Event-ID")},
		"resume-gap":    {Say("without a shared broker: parent.config with round_robin=consistent_hash or strict")},
		"cors-refused":  {Say("header_rewrite: no rm-header Access-Control-Allow-Origin")},
	},
}
