package front

// hitch and stunnel only end TLS. They change nothing in an answer, so they cannot be recognised; their lines are for readers who know that
// they are there.
var (
	hitch = &Front{Name: "hitch", marks: []string{"hitch"}, mends: map[string][]Line{
		"no-answer":   {Paste("config", `alpn-protos = "http/1.1"`, "alpn-protos"), Say(`"h2, http/1.1" only if what is behind it speaks HTTP/2 without TLS`)},
		"unreachable": {Paste("config", `alpn-protos = "http/1.1"`, "alpn-protos"), Say("if only HTTP/2 fails: what is behind it does not speak it without TLS")},
		"h1-only":     {Paste("config", `alpn-protos = "h2, http/1.1"`, "alpn-protos"), Say("and h2c in protocols of what is behind it")},
		"buffered":    {Say("it passes bytes on as they come: look at what is behind it")},
		"idle-cut":    {Say("it has no limit of silence: look at what is behind it")},
		"cut":         {Say("it has no limit of a whole answer: look at what is behind it")},
		"ghost":       {Say("it notices at once that a client leaves: look at what is behind it")},
		"certificate": {Say("pem-file with the whole chain, for this name")},
	}}
	stunnel = &Front{Name: "stunnel", marks: []string{"stunnel"}, mends: map[string][]Line{
		"buffered":    {Say("it passes bytes on as they come: look at what is behind it")},
		"idle-cut":    {Paste("service", "TIMEOUTidle = 43200", "TIMEOUTidle")},
		"cut":         {Say("it has no limit of a whole answer: look at what is behind it")},
		"ghost":       {Paste("service", "TIMEOUTclose = 0", "TIMEOUTclose")},
		"h1-only":     {Say("it passes HTTP/1.1 on: HTTP/2 needs another proxy in front")},
		"certificate": {Say("cert with the whole chain, for this name")},
	}}
)
