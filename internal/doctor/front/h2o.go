package front

import "strings"

var h2o = &Front{
	Name:  "h2o",
	marks: []string{"h2o/"},
	own: func(a Answer) bool {
		return strings.HasSuffix(string(a), "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: 11\r\n\r\nBad Request")
	},
	mends: map[string][]Line{
		"buffered":       {Say("it passes events on at once, and headers with the first: look at what is behind it")},
		"delayed":        {Say("no throttle-response: ON")},
		"compressed":     {Paste("config", "compress: OFF", "compress")},
		"cached":         {Say("it does not cache: look at what is behind it")},
		"cacheable":      {Paste("config", `header.set: "Cache-Control: no-store, no-transform"`, "header.unset")},
		"idle-cut":       {Paste("config", "proxy.timeout.io: 3600000", "proxy.timeout.io")},
		"cut":            {Say("it has no limit of a whole answer: look at reloads and at the error log")},
		"no-heartbeat":   {Say("it passes heartbeats on at once: look at what is behind it")},
		"ghost":          {Say("over HTTP/2 it notices at once; over HTTP/1.1 at the second heartbeat after a client has left")},
		"content-length": {Say("no mruby.handler for the path that reads the whole answer")},
		"no-answer":      {Say("does proxy.reverse.url lead to the hub?")},
		"status":         {Say("502, 504: is the hub there?")},
		"redirect":       {Say("no redirect for the path")},
		"no-directive":   {Say("a path /events with proxy.reverse.url: http://hub:8080/events")},
		"not-event-stream": {
			Say("a path /events with proxy.reverse.url: http://hub:8080/events"),
		},
		"unreachable":   {Say("listen; is it running?")},
		"certificate":   {Say("certificate-file with the whole chain, for this name")},
		"h1-only":       {Say("listen with ssl, and no http2 handicap")},
		"resume-header": {Say("no proxy.header.unset of Last-Event-ID")},
		"resume-gap":    {Say("without a shared broker: another balancer, with sticky sessions")},
		"cors-refused":  {Say("no header.unset of Access-Control-Allow-Origin")},
	},
}
