package front

import "strings"

var haproxy = &Front{
	Name:  "HAProxy",
	marks: []string{"haproxy"},
	own: func(a Answer) bool {
		return strings.Contains(string(a), "Your browser sent an invalid request.\n</body>")
	},
	mends: map[string][]Line{
		"buffered": {
			Paste("defaults", "option http-no-delay", "option http-no-delay"),
			Paste("frontend", "", "http-request wait-for-body"),
			Paste("backend", "", "http-response wait-for-body"),
			Paste("backend", "", "compression"),
		},
		"delayed":        {Paste("defaults", "option http-no-delay", "option http-no-delay"), Say("no filter bwlim-out")},
		"compressed":     {Paste("backend", "", "compression")},
		"cached":         {Paste("backend", "", "http-request cache-use"), Paste("backend", "", "http-response cache-store")},
		"cacheable":      {Paste("backend", `http-response set-header Cache-Control "no-store, no-transform"`, "http-response del-header Cache-Control")},
		"idle-cut":       {Paste("defaults", "timeout server 1h", "timeout server")},
		"cut":            {Say("it has no limit of a whole answer: look at reloads with hard-stop-after, and at the log")},
		"no-heartbeat":   {Paste("defaults", "option http-no-delay", "option http-no-delay")},
		"ghost":          {Paste("defaults", "option abortonclose", "option abortonclose"), Say("in defaults or listen: in a backend it has no effect")},
		"h1-only":        {Say("bind :443 ssl crt site.pem alpn h2,http/1.1")},
		"content-length": {Say("no http-request return for the path")},
		"redirect":       {Say("http-request redirect scheme https unless { path /events } || { ssl_fc }")},
		"no-directive":   {Say("use_backend hub if { path /events }")},
		"status": {
			Say("503: the backend has no server that is up; 504: timeout server"),
			Paste("frontend", "", "http-request wait-for-body"),
		},
		"not-event-stream": {Say("use_backend hub if { path /events }")},
		"no-answer": {
			Paste("frontend", "", "http-request wait-for-body"),
			Paste("backend", "", "http-response wait-for-body"),
			Say("is the server up?"),
		},
		"unreachable":      {Say("bind of the frontend; is it running?")},
		"certificate":      {Say("bind :443 ssl crt with a file of key and whole chain")},
		"resume-header":    {Paste("frontend", "", "http-request del-header Last-Event-ID")},
		"resume-gap":       {Say("without a shared broker: balance source, or a cookie")},
		"cors-refused":     {Paste("backend", "", "http-response del-header Access-Control-Allow-Origin")},
		"cors-twice":       {Paste("backend", "", "http-response add-header Access-Control-Allow-Origin")},
		"cors-credentials": {Paste("backend", "", "http-response set-header Access-Control-Allow-Origin")},
		"cors-preflight":   {Say("no http-request return for OPTIONS")},
		"cookie-samesite":  {Paste("backend", `http-response replace-header Set-Cookie (.*) "\1; SameSite=None; Secure"`, "")},
	},
}
