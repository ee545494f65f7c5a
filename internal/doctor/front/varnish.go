package front

// pipe passes a stream through Varnish untouched.
const pipe = `sub vcl_recv { if (req.url ~ "^/events") { return (pipe); } }`

var varnish = &Front{
	Name:  "Varnish",
	marks: []string{"varnish"},
	own:   func(a Answer) bool { return a == "HTTP/1.1 400 Bad Request\r\n\r\n" },
	mends: map[string][]Line{
		"buffered":       {Paste("vcl", pipe, "")},
		"delayed":        {Paste("vcl", pipe, "")},
		"compressed":     {Paste("vcl", pipe, "")},
		"cached":         {Paste("vcl", pipe, "")},
		"cacheable":      {Paste("vcl", pipe, "")},
		"idle-cut":       {Paste("vcl", pipe, ""), Paste("parameters", "-p pipe_timeout=3600", "-p pipe_timeout")},
		"cut":            {Paste("vcl", pipe, ""), Say("with return (pass): -p send_timeout=86400, as it limits the whole answer")},
		"no-heartbeat":   {Paste("vcl", pipe, "")},
		"ghost":          {Paste("vcl", pipe, "")},
		"content-length": {Paste("vcl", pipe, "")},
		"no-answer":      {Paste("vcl", pipe, ""), Say("is the backend healthy?")},
		"status":         {Say("503: is the hub there, and its probe healthy?")},
		"redirect":       {Say("no return (synth(301)) for /events")},
		"no-directive":   {Say("set req.backend_hint = hub; for /events")},
		"not-event-stream": {
			Say("set req.backend_hint = hub; for /events"),
		},
		"unreachable":     {Say("-a of varnishd; is it running?")},
		"h1-only":         {Say("it has no TLS: hitch in front, with its ALPN, and -p feature=+http2")},
		"upstream-http10": {Say("it asks by HTTP/1.1: look at what is between it and the hub")},
		"resume-header":   {Say("no unset req.http.Last-Event-ID")},
		"resume-gap":      {Say("without a shared broker: a director of hash or shard")},
		"cors-refused":    {Say("no unset resp.http.Access-Control-Allow-Origin")},
	},
}
