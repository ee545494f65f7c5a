package doctor

import (
	"slices"

	"github.com/sse-push/caddy-sse-push/internal/doctor/front"
)

// The places other than fronts where a finding can be mended.
const (
	pushHub = "sse_push"
	page    = "page"
	app     = "app"
)

// entry is what is known about a code, whatever front there is. What mends it in a front is in the front's own file.
type entry struct {
	severity Severity
	felt     string
	mend     []front.Line
}

// newFinding returns a finding with what is known of its code.
func newFinding(code, on, seen string) Finding {
	k, ok := knowledge[code]
	if !ok {
		panic("no knowledge of " + code)
	}
	f := Finding{Code: code, Severity: k.severity, Seen: clean(seen), Felt: k.felt}
	if on != "" {
		f.On = []string{on}
	}
	return f
}

// knowledge has every code.
var knowledge = map[string]entry{
	"buffered":   {Fault, "Events come late, many at once, or never: pages look frozen although the connection is open.", nil},
	"delayed":    {Warning, "Every event comes late by the same time.", nil},
	"compressed": {Warning, "The proxy keeps a compressor's memory, some 300 KiB, for each open page, and a compressor may hold small events back.", nil},
	"cached":     {Fault, "A page gets an old stream of another user, with that user's events. It ends at once, so the page reconnects for ever.", nil},
	"cacheable":  {Warning, "A cache on the way may store the stream and give it to other users.", nil},
	"idle-cut": {Fault, "A quiet page loses its connection again and again. What is sent in between arrives late or never.", []front.Line{
		front.Say("heartbeat 15s: shorter than the silence after which the stream is cut").At(pushHub),
	}},
	"cut": {Fault, "The page reconnects again and again; each time costs a round trip, and work that needs a long connection never ends.", []front.Line{
		front.Say("PHP: max_execution_time, request_terminate_timeout").At(app),
	}},
	"ghost": {Note, "A user who has left is counted as present for that long, and each reload of a page takes another place in the limits.", []front.Line{
		front.Say("a shorter heartbeat: most proxies notice at the next one or the one after that").At(pushHub),
	}},
	"no-heartbeat": {Warning, "Proxies and mobile networks cut silent connections, and a page does not notice for minutes that it is cut off.", []front.Line{
		front.Say("heartbeat 15s").At(pushHub),
	}},
	"h1-only":         {Warning, "A browser opens six connections to a host, over all tabs: the seventh tab hangs, and so does every other request.", nil},
	"h1-here":         {Note, "A browser opens six connections to a host, over all tabs: the seventh tab hangs. On this machine that is only yours.", nil},
	"upstream-http10": {Note, "Nothing yet. But each request opens a connection to the hub, and a stream that breaks off looks complete.", nil},
	"http10":          {Note, "Nothing yet. But an answer that breaks off looks complete, and some proxies hold it back to the end.", nil},
	"content-length":  {Fault, "The browser stops after that many bytes, and something must have held the stream back to its end to count them.", nil},
	"redirect": {Fault, "Each connection takes two trips; a page on https: refuses a redirect to http:, and a login page ends the EventSource for good.", []front.Line{
		front.Say("new EventSource() with the URL that the redirect leads to").At(page),
	}},
	"no-directive": {Fault, "No page hears anything: something else answers at this URL, in front of sse_push or in its place.", []front.Line{
		front.Say("is this the directive's path, and does the examination need --header 'Cookie: …'?").At(page),
	}},
	"status": {Fault, "EventSource gives up for good at any status but 200, and does not say why.", []front.Line{
		front.Say("401 and 403: does the examination need --header 'Cookie: …' or a ticket in the URL?").At(page),
	}},
	"not-event-stream": {Fault, "EventSource gives up for good at an answer that is not text/event-stream.", []front.Line{
		front.Say("header('Content-Type: text/event-stream')").At(app),
	}},
	"no-answer": {Fault, "Pages wait and hear nothing. Either nothing answers behind the proxy, or something holds the whole answer back.", []front.Line{
		front.Say("PHP: every worker may be held by a stream: pm.max_children").At(app),
	}},
	"unreachable": {Fault, "No page connects at all.", []front.Line{
		front.Say("is the URL the one that pages use? Is the name known, the port open?").At(page),
	}},
	"certificate": {Fault, "Browsers refuse the connection.", nil},
	"rejected": {Warning, "Pages are told to come back later.", []front.Line{
		front.Say("connections: limits with connections; broker: is it up?; draining: is Caddy stopping?").At(pushHub),
		front.Say("sources, sources_per_client: max and per_client of source; source: the app has not answered with a stream").At(pushHub),
	}},
	"sources-failing": {Warning, "Pages that listen to these streams hear nothing new.", []front.Line{
		front.Say("caddy sse-push sources: the last error of each").At(pushHub),
		front.Say("is it up? PHP: pm.max_children above the number of sources").At(app),
	}},
	"resume-header": {Fault, "Every event that is published while a page reconnects is lost.", []front.Line{
		front.Say("or open the URL with ?last_event_id=…").At(page),
	}},
	"resume-gap": {Fault, "A page that reconnects has to load everything again.", []front.Line{
		front.Paste(pushHub, "history {\n\tevents 10000\n\tage 1h\n}", "").At(pushHub),
		front.Say("if it was another node: broker redis or nats on all; if Caddy restarted: broker file").At(pushHub),
	}},
	"resume-lost": {Fault, "Events that are published while a page reconnects are lost.", []front.Line{
		front.Paste(pushHub, "history {\n\tevents 10000\n\tage 1h\n}", "").At(pushHub),
		front.Say("is the internal route that of the same hub?").At(pushHub),
	}},
	"no-ids": {Warning, "Events that are published while a page reconnects are lost: there is no id to go on from.", []front.Line{
		front.Say("publish through sse_push, which gives each event an id").At(app),
	}},
	"no-retry": {Warning, "After an outage all pages reconnect at the same moment.", []front.Line{
		front.Say("send a retry: line with a different time for each page, as sse_push does").At(app),
	}},
	"php-worker": {Fault, "Each open tab holds one PHP worker: when the last one is taken, the whole site hangs.", []front.Line{
		front.Say("until then: pm.max_children above the number of tabs").At(app),
	}},
	"own-stream": {Warning, "An app holds the stream by itself. If it has a worker for each request, each open tab takes one.", nil},
	"publish-refused": {Fault, "If the app sends the same, no event is published at all.", []front.Line{
		front.Paste(pushHub, "internal /_sse {\n\ttoken {env.SSE_PUSH_TOKEN}\n}", "").At(pushHub),
		front.Say("or, in internal, allow this host; the log says which caller was refused").At(pushHub),
	}},
	"publish-unreachable": {Fault, "If the app asks the same URL, no event is published at all.", []front.Line{
		front.Say("is Caddy running, and the address that of the site with internal?").At(pushHub),
	}},
	"other-hub": {Fault, "What the app publishes goes to another hub than the one that pages listen to.", []front.Line{
		front.Say("the same hub <name> in both directives; on several nodes: broker redis or nats").At(pushHub),
	}},
	"cors-refused": {Fault, "A page of that origin hears nothing; its console says CORS.", []front.Line{
		front.Say("cors_origins with that origin").At(pushHub),
	}},
	"cors-twice": {Fault, "A page of another origin hears nothing: browsers refuse the header if it is there twice.", nil},
	"cors-credentials": {Warning, "A page of another origin that opens the stream withCredentials, for its cookies, hears nothing.", []front.Line{
		front.Say("cors_origins with the exact origin in place of *").At(pushHub),
	}},
	"cors-preflight": {Warning, "A page of another origin that uses fetch cannot resume. EventSource can.", []front.Line{
		front.Say("cors_origins with that origin").At(pushHub),
	}},
	"cookie-samesite": {Warning, "Browsers do not send that cookie from a page on another site: the user is not known.", []front.Line{
		front.Say("Set-Cookie: …; SameSite=None; Secure, or a ticket in place of the cookie").At(app),
	}},
}

// mends returns the lines that mend a finding: first those of the fronts that were seen, or of Caddy
// if none was, then those of the hub, the page and the app, then
// those of the other fronts.
func mends(code string, seen []string) (lines []front.Line) {
	own := knowledge[code].mend
	if len(seen) == 0 {
		seen = []string{front.Hub} // then it is the hub's own
	}
	if code == "h1-here" {
		code = "h1-only"
	}
	for _, name := range seen {
		for _, f := range front.Known {
			if f.Name == name {
				lines = append(lines, f.Mends(code)...)
			}
		}
	}
	lines = append(lines, own...)
	for _, f := range front.Known {
		if !slices.Contains(seen, f.Name) {
			lines = append(lines, f.Mends(code)...)
		}
	}
	return lines
}
