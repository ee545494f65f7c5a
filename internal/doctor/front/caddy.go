package front

var caddy = &Front{
	Name:  "Caddy",
	marks: []string{"caddy"},
	mends: map[string][]Line{
		"buffered": {
			Paste("reverse_proxy", "flush_interval -1", "flush_interval"),
			Paste("reverse_proxy", "", "response_buffers"),
			Paste("reverse_proxy", "", "buffer_responses"),
		},
		"delayed":      {Paste("reverse_proxy", "flush_interval -1", "flush_interval")},
		"compressed":   {Say("encode with a matcher that leaves the path out: @pages not path /events, and encode @pages zstd gzip")},
		"cached":       {Say("keep the cache's directive off the path: @pages not path /events")},
		"cacheable":    {Paste("site", `header /events Cache-Control "no-store, no-transform"`, "header /events Cache-Control")},
		"idle-cut":     {Paste("reverse_proxy", "", "read_timeout"), Say("in transport http; and look at write under timeouts, which limits the whole answer")},
		"cut":          {Paste("global", "", "write"), Paste("reverse_proxy", "", "stream_timeout"), Say("write stands under servers, in timeouts: it limits the whole answer")},
		"no-heartbeat": {Paste("reverse_proxy", "flush_interval -1", "flush_interval")},
		"ghost":        {Say("it notices at once that a client leaves: look at what is behind it")},
		"content-length": {
			Paste("reverse_proxy", "", "response_buffers"),
			Say("no respond for the path"),
		},
		"h1-only":         {Say("an address without http://, and no protocols h1")},
		"upstream-http10": {Say("it asks by HTTP/1.1: look at what is between it and the hub")},
		"redirect":        {Say("sse_push stands before redir: keep redir off the path by a matcher")},
		"no-directive": {
			Say("sse_push /events in the site that is asked, outside of any handle or matcher that only lets other paths in; in a route, before what answers"),
			Say("a redirect, a login or a file that answers: keep it off by a matcher: @pages not path /events"),
		},
		"status":           {Say("404: sse_push /events is in another site, or in a handle that is not reached; 401: does a user of the directive name the client?")},
		"not-event-stream": {Say("sse_push /events in the site that is asked")},
		"no-answer":        {Paste("reverse_proxy", "flush_interval -1", "flush_interval"), Paste("reverse_proxy", "", "response_buffers")},
		"unreachable":      {Say("the site's address; is it running?")},
		"certificate":      {Say("the site's address is its name, and ports 80 and 443 are reached; for tests: --insecure")},
		"resume-header":    {Paste("reverse_proxy", "", "header_up -Last-Event-ID")},
		"resume-gap":       {Say("without a shared broker: lb_policy ip_hash or cookie")},
		"php-worker": {
			Say("sse_push /events before php_fastcgi, and publish from PHP by a POST"),
			Say("or, with the script as it is, sse_push at its path with the option source, which opens it once for all tabs that may share it"),
		},
		"own-stream": {
			Say("sse_push /events before reverse_proxy, and publish from the app by a POST"),
			Say("or, with the app as it is, sse_push at its path with the option source, which opens it once for all tabs that may share it"),
		},
		"cors-refused":     {Paste("site", "", "header -Access-Control-Allow-Origin")},
		"cors-twice":       {Paste("site", "", "header Access-Control-Allow-Origin")},
		"cors-credentials": {Paste("site", "", "header Access-Control-Allow-Origin")},
		"cors-preflight":   {Say("no respond for OPTIONS above sse_push")},
		"cookie-samesite":  {Paste("site", `header >Set-Cookie $ "; SameSite=None; Secure"`, "")},
	},
}
