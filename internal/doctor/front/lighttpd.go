package front

import "strings"

// streaming has lighttpd pass an answer on as it comes. By default it collects all of it first.
var streaming = Paste("config", "server.stream-response-body = 1", "server.stream-response-body")

var lighttpd = &Front{
	Name:  "lighttpd",
	marks: []string{"lighttpd"},
	own: func(a Answer) bool {
		return strings.Contains(string(a), `<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">`)
	},
	mends: map[string][]Line{
		"buffered":     {streaming},
		"no-answer":    {streaming, Say("is the server of proxy.server up?")},
		"delayed":      {streaming, Say("no connection.kbytes-per-second")},
		"no-heartbeat": {streaming},
		"ghost":        {streaming, Say("over HTTP/1.1 it notices at the next heartbeat after a client has left")},
		"compressed":   {Paste("config", `deflate.mimetypes = ("text/html", "text/css", "application/javascript")`, "deflate.mimetypes")},
		"cached":       {Say("it does not cache: look at what is behind it")},
		"cacheable":    {Say("no setenv.set-response-header of Cache-Control for the path")},
		"idle-cut":     {Paste("config", "server.max-write-idle = 3600", "server.max-write-idle")},
		"cut":          {Say("it has no limit of a whole answer: look at server.max-write-idle, at reloads and at the error log")},
		"content-length": {
			streaming,
		},
		"upstream-http10": {streaming},
		"status":          {Say("403, 404: proxy.server for the path; 503: is the hub there?")},
		"redirect":        {Say("no url.redirect for the path")},
		"no-directive":    {Say(`$HTTP["url"] =~ "^/events" { proxy.server = … }, above url.rewrite`)},
		"not-event-stream": {
			Say(`$HTTP["url"] =~ "^/events" { proxy.server = … }, above url.rewrite`),
		},
		"unreachable":   {Say("server.bind and server.port; is it running?")},
		"certificate":   {Say("ssl.pemfile with the whole chain, for this name")},
		"h1-only":       {Paste("config", `server.feature-flags += ("server.h2proto" => "enable")`, "")},
		"resume-header": {Say("no setenv.set-request-header of Last-Event-ID")},
		"resume-gap":    {Say(`without a shared broker: proxy.balance = "sticky"`)},
		"cors-refused":  {Say("no setenv.set-response-header of Access-Control-Allow-Origin")},
	},
}
