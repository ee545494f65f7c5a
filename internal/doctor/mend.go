package doctor

// The places where a finding can be mended.
const (
	nginx      = "nginx"
	apache     = "Apache"
	haproxy    = "HAProxy"
	cloudflare = "Cloudflare"
	alb        = "ALB"
	caddy      = "Caddy"
	pushHub    = "sse_push"
	page       = "page"
	app        = "app"
)

// entry is what is known about a code.
type entry struct {
	severity Severity
	felt     string
	mend     []Line
}

// newFinding returns a finding with what is known of its code.
func newFinding(code, on, seen string) Finding {
	k, ok := knowledge[code]
	if !ok {
		panic("no knowledge of " + code)
	}
	f := Finding{Code: code, Severity: k.severity, Seen: clean(seen), Felt: k.felt, Mend: k.mend}
	if on != "" {
		f.On = []string{on}
	}
	return f
}

// knowledge has every code.
var knowledge = map[string]entry{
	"buffered": {Fault, "Events come late, many at once, or never: pages look frozen although the connection is open.", []Line{
		{nginx, "proxy_buffering off; and no proxy_ignore_headers X-Accel-Buffering"},
		{apache, "ProxyPass /events http://hub:8080/events flushpackets=on"},
		{haproxy, "option http-no-delay, and no http-response wait-for-body"},
		{cloudflare, "Rules > Settings > Response Buffering: off (Enterprise; off unless set)"},
		{alb, "nothing: it does not buffer; a Lambda function as its target does"},
		{caddy, "reverse_proxy hub:8080 { flush_interval -1 }, and no response_buffers"},
	}},
	"delayed": {Warning, "Every event comes late by the same time.", []Line{
		{nginx, "proxy_buffering off; tcp_nodelay on; and no limit_rate"},
		{apache, "ProxyPass /events http://hub:8080/events flushpackets=on"},
		{haproxy, "option http-no-delay, and no filter bwlim-out"},
		{cloudflare, "nothing to set: look at the distance to the origin (Argo)"},
		{alb, "nothing to set: look at the load of the targets"},
		{caddy, "reverse_proxy hub:8080 { flush_interval -1 }"},
	}},
	"compressed": {Warning, "The proxy keeps a compressor's memory, some 300 KiB, for each open page, and a compressor may hold small events back.", []Line{
		{nginx, "gzip off; in the location, or no text/event-stream in gzip_types"},
		{apache, "SetEnvIf Request_URI ^/events no-gzip=1 no-brotli=1"},
		{haproxy, "compression type text/html text/css application/javascript (without text/event-stream)"},
		{cloudflare, "Rules > Compression Rules: for /events, disable compression"},
		{alb, "nothing: it does not compress; CloudFront: compress = false"},
		{caddy, "@pages not path /events, and encode @pages zstd gzip"},
	}},
	"cached": {Fault, "A page gets an old stream of another user, with that user's events. It ends at once, so the page reconnects for ever.", []Line{
		{nginx, "proxy_cache off; in the location, and no proxy_ignore_headers Cache-Control"},
		{apache, "CacheDisable /events"},
		{haproxy, "http-request cache-use pages unless { path /events }"},
		{cloudflare, "Rules > Cache Rules: for /events, bypass cache"},
		{alb, "nothing: it does not cache; CloudFront: the policy CachingDisabled"},
		{caddy, "keep the cache's directive off the path: @pages not path /events"},
	}},
	"cacheable": {Warning, "A cache on the way may store the stream and give it to other users.", []Line{
		{nginx, "add_header Cache-Control no-store; and no proxy_hide_header Cache-Control"},
		{apache, `Header set Cache-Control "no-store, no-transform"`},
		{haproxy, `http-response set-header Cache-Control "no-store, no-transform"`},
		{cloudflare, "Rules > Cache Rules: for /events, bypass cache"},
		{alb, "nothing: it passes the header on; set it in the app"},
		{caddy, `header /events Cache-Control "no-store, no-transform"`},
	}},
	"idle-cut": {Fault, "A quiet page loses its connection again and again. What comes in between is late or lost.", []Line{
		{nginx, "proxy_read_timeout 1h;"},
		{apache, "ProxyPass /events http://hub:8080/events timeout=3600"},
		{haproxy, "timeout server 1h and timeout client 1h"},
		{cloudflare, "the limit of 100 s is fixed (Enterprise: Proxy Read Timeout): send heartbeats more often"},
		{alb, "idle_timeout.timeout_seconds=3600"},
		{caddy, "reverse_proxy hub:8080 { transport http { read_timeout 0 } }"},
		{pushHub, "heartbeat 15s, shorter than any of these"},
	}},
	"cut": {Fault, "The page reconnects again and again; each time costs a round trip, and what needs a long connection never gets one.", []Line{
		{nginx, "look at keepalive_time, proxy_next_upstream and the error log"},
		{apache, "no RequestReadTimeout body= and no Timeout under the heartbeat"},
		{haproxy, "no timeout tunnel or hard-stop-after that short"},
		{cloudflare, "look at the origin: a stream has no limit of its length here"},
		{alb, "look at deregistration_delay and at the targets' health"},
		{caddy, "servers { timeouts { write 0 } }; reverse_proxy: no stream_timeout that short"},
		{app, "PHP: max_execution_time, request_terminate_timeout"},
	}},
	"no-heartbeat": {Warning, "Proxies and mobile networks cut silent connections, and a page does not notice for minutes that it is cut off.", []Line{
		{nginx, "proxy_buffering off; if the hub does send heartbeats"},
		{apache, "ProxyPass /events http://hub:8080/events flushpackets=on"},
		{haproxy, "option http-no-delay"},
		{cloudflare, "needs a heartbeat under 100 s"},
		{alb, "needs a heartbeat under idle_timeout.timeout_seconds (60)"},
		{caddy, "reverse_proxy hub:8080 { flush_interval -1 }"},
		{pushHub, "heartbeat 15s"},
	}},
	"h1-only": {Warning, "A browser opens six connections to a host, over all tabs: the seventh tab hangs, and so does every other request.", multiplex},
	"h1-here": {Note, "A browser opens six connections to a host, over all tabs: the seventh tab hangs. On this machine that is only yours.", multiplex},
	"upstream-http10": {Note, "Nothing yet. But each request opens a connection to the hub, and a stream that breaks off looks like one that is complete.", []Line{
		{nginx, `proxy_http_version 1.1; and proxy_set_header Connection "";`},
		{apache, "no SetEnv force-proxy-request-1.0"},
		{haproxy, "nothing: it passes on what it is asked with"},
		{cloudflare, "nothing: it speaks HTTP/1.1 or 2"},
		{alb, "protocol version of the target group: HTTP1 or HTTP2"},
		{caddy, "reverse_proxy hub:8080 { transport http { versions 1.1 } }"},
	}},
	"http10": {Note, "Nothing yet. But an answer that breaks off looks like one that is complete, and some proxies hold it back to the end.", []Line{
		{nginx, "chunked_transfer_encoding on;"},
		{apache, "no SetEnv downgrade-1.0 or force-response-1.0"},
		{haproxy, "nothing: it passes HTTP/1.1 on"},
		{cloudflare, "nothing: it speaks HTTP/1.1 and newer"},
		{alb, "nothing: it speaks HTTP/1.1 and newer"},
		{caddy, "nothing: it speaks HTTP/1.1 and newer"},
	}},
	"content-length": {Fault, "The browser stops after that many bytes, and to count them, something held the stream back to its end.", []Line{
		{nginx, "proxy_buffering off;"},
		{apache, "ProxyPass /events http://hub:8080/events flushpackets=on, and no mod_buffer"},
		{haproxy, "no http-response return for the path"},
		{cloudflare, "no Worker that reads the whole body"},
		{alb, "no Lambda function as the target"},
		{caddy, "reverse_proxy hub:8080, without response_buffers; no respond for the path"},
	}},
	"redirect": {Fault, "Each connection takes two trips; a page on https: refuses one to http:, and a login page ends the EventSource for good.", []Line{
		{page, "new EventSource() with the URL that the redirect leads to"},
		{nginx, "a location = /events of its own, above the return 301"},
		{apache, "RewriteRule ^/events - [END], above the redirect"},
		{haproxy, "http-request redirect scheme https unless { path /events } || { ssl_fc }"},
		{cloudflare, "SSL/TLS mode Full, where the origin redirects to https"},
		{alb, "a listener rule for /events, before the redirect's"},
		{caddy, "sse_push stands before redir: keep redir off the path by a matcher"},
	}},
	"no-directive": {Fault, "No page hears anything: something else answers at this URL, in front of sse_push or in its place.", []Line{
		{caddy, "sse_push /events in the site that is asked, outside of any handle or matcher that only lets other paths in; in a route, before what answers"},
		{caddy, "a redirect, a login or a file that answers: keep it off by a matcher: @pages not path /events"},
		{page, "is the path that of the directive, and does the examination need --header 'Cookie: …'?"},
		{nginx, "location = /events { proxy_pass http://hub:8080; }, without auth_request, above try_files and return"},
		{apache, "ProxyPass /events http://hub:8080/events, above the rewrite to index.php"},
		{haproxy, "use_backend hub if { path /events }"},
		{cloudflare, "no Worker, Access login, challenge or redirect on the path"},
		{alb, "a listener rule that takes /events to the hub's target group, before those that redirect or sign in"},
	}},
	"status": {Fault, "EventSource gives up for good at any status but 200, and does not say why.", []Line{
		{page, "401 and 403: does the examination need --header 'Cookie: …' or a ticket in the URL?"},
		{nginx, "404: location /events { proxy_pass http://hub:8080; }; 502, 504: is the hub there?"},
		{apache, "404: ProxyPass /events http://hub:8080/events; 502, 503: is the hub there?"},
		{haproxy, "503: the backend has no server that is up"},
		{cloudflare, "403: a firewall rule or a challenge applies to the path; 52x: the origin is not reached"},
		{alb, "502, 503, 504: are the targets healthy?"},
		{caddy, "404: sse_push /events is in another site, or in a handle that is not reached; 401: does a user of the directive name the client?"},
	}},
	"not-event-stream": {Fault, "EventSource gives up for good: an answer that is not text/event-stream is no stream.", []Line{
		{nginx, "location /events { proxy_pass http://hub:8080; }, above try_files"},
		{apache, "ProxyPass /events http://hub:8080/events, above the rewrite to index.php"},
		{haproxy, "use_backend hub if { path /events }"},
		{cloudflare, "no Worker, challenge or error page on the path"},
		{alb, "a listener rule that takes /events to the hub's target group"},
		{caddy, "sse_push /events in the site that is asked"},
		{app, "header('Content-Type: text/event-stream')"},
	}},
	"no-answer": {Fault, "Pages wait and hear nothing. Either nothing answers behind the proxy, or something holds the whole answer back.", []Line{
		{nginx, "proxy_buffering off; and look whether proxy_pass leads to the hub"},
		{apache, "ProxyPass /events http://hub:8080/events flushpackets=on"},
		{haproxy, "option http-no-delay; is the server up?"},
		{cloudflare, "is the origin reached from outside?"},
		{alb, "are the targets healthy, and their security group open?"},
		{caddy, "reverse_proxy hub:8080 { flush_interval -1 }"},
		{app, "PHP: every worker may be held by a stream: pm.max_children"},
	}},
	"unreachable": {Fault, "No page connects at all.", []Line{
		{page, "is the URL the one that pages use? Is the name known, the port open?"},
		{nginx, "listen and server_name of the site; is it running?"},
		{apache, "Listen and ServerName of the site; is it running?"},
		{haproxy, "bind of the frontend; is it running?"},
		{cloudflare, "the DNS record, and whether it is proxied"},
		{alb, "the listener's port and the security group"},
		{caddy, "the site's address; is it running?"},
	}},
	"certificate": {Fault, "Browsers refuse the connection.", []Line{
		{nginx, "ssl_certificate with the whole chain, for this name"},
		{apache, "SSLCertificateFile with the whole chain, for this name"},
		{haproxy, "bind :443 ssl crt with a file of key and whole chain"},
		{cloudflare, "SSL/TLS > Edge Certificates: this name"},
		{alb, "a certificate of ACM for this name at the listener"},
		{caddy, "the site's address is its name, and ports 80 and 443 are reached; for tests: --insecure"},
	}},
	"rejected": {Warning, "Pages are told to come back later.", []Line{
		{pushHub, "connections: limits { connections }; broker: is it up?; draining: is Caddy stopping?"},
		{pushHub, "sources, sources_per_client: max and per_client of source; source: the app has not answered with a stream"},
	}},
	"sources-failing": {Warning, "Pages that listen to these streams hear nothing new.", []Line{
		{pushHub, "caddy sse-push sources: the last error of each"},
		{app, "is it up? PHP: pm.max_children above the number of sources"},
	}},
	"resume-header": {Fault, "Every event that is published while a page reconnects is lost.", []Line{
		{nginx, "no proxy_pass_request_headers off, no proxy_set_header Last-Event-ID"},
		{apache, "no RequestHeader unset Last-Event-ID"},
		{haproxy, "no http-request del-header Last-Event-ID"},
		{cloudflare, "no Transform Rule that removes Last-Event-ID"},
		{alb, "nothing: it passes the header on; CloudFront: an origin request policy with it"},
		{caddy, "no header_up -Last-Event-ID"},
		{page, "or open the URL with ?last_event_id=…"},
	}},
	"resume-gap": {Fault, "A page that reconnects has to load everything anew.", []Line{
		{pushHub, "history { events 10000; age 1h }; with several nodes: broker redis, nats or file"},
		{nginx, "without a shared broker: ip_hash; in the upstream"},
		{apache, "without a shared broker: stickysession= on the balancer"},
		{haproxy, "without a shared broker: balance source, or a cookie"},
		{cloudflare, "without a shared broker: session affinity in Load Balancing"},
		{alb, "without a shared broker: stickiness.enabled=true"},
		{caddy, "without a shared broker: lb_policy ip_hash or cookie"},
	}},
	"resume-lost": {Fault, "Events that are published while a page reconnects are lost.", []Line{
		{pushHub, "history { events 10000; age 1h }; is the internal route that of the same hub?"},
	}},
	"no-ids": {Warning, "Events that are published while a page reconnects are lost: there is no id to go on from.", []Line{
		{app, "publish through sse_push, which gives each event an id"},
	}},
	"no-retry": {Warning, "After an outage all pages come back in the same moment.", []Line{
		{app, "send a retry: line, a different one to each page; sse_push does"},
	}},
	"php-worker": {Fault, "Each open tab holds one PHP worker: when the last one is taken, the whole site hangs.", []Line{
		{caddy, "sse_push /events { … } before php_fastcgi, and publish from PHP by a POST"},
		{caddy, "or, with the script as it is, sse_push <its path> { source }, which opens it once for all tabs that may share it"},
		{app, "until then: pm.max_children above the number of tabs"},
	}},
	"own-stream": {Warning, "An app holds the stream by itself. Where it has a worker for each request, each open tab takes one.", []Line{
		{caddy, "sse_push /events { … } before reverse_proxy, and publish from the app by a POST"},
		{caddy, "or, with the app as it is, sse_push <its path> { source }, which opens it once for all tabs that may share it"},
	}},
	"publish-refused": {Fault, "If the app sends the same, no event is published at all.", []Line{
		{pushHub, "internal /_sse { token {env.SSE_PUSH_TOKEN} }, or allow this host; the log says who was refused"},
	}},
	"publish-unreachable": {Fault, "If the app asks the same URL, no event is published at all.", []Line{
		{pushHub, "is Caddy running, and the address that of the site with internal?"},
	}},
	"other-hub": {Fault, "What the app publishes goes to another hub than the one that pages listen to.", []Line{
		{pushHub, "the same hub <name> in both directives; on several nodes: broker redis, nats or file"},
	}},
	"cors-refused": {Fault, "A page of that origin hears nothing; its console says CORS.", []Line{
		{pushHub, "cors_origins with that origin"},
		{nginx, "no proxy_hide_header Access-Control-Allow-Origin, no proxy_set_header Origin"},
		{apache, "no Header unset Access-Control-Allow-Origin"},
		{haproxy, "no http-response del-header Access-Control-Allow-Origin"},
		{cloudflare, "no Transform Rule that removes it"},
		{alb, "listener attribute routing.http.response.access_control_allow_origin unset"},
		{caddy, "no header -Access-Control-Allow-Origin"},
	}},
	"cors-twice": {Fault, "A page of another origin hears nothing: browsers refuse the header when it stands twice.", []Line{
		{nginx, "no add_header Access-Control-Allow-Origin for the path: sse_push sets it"},
		{apache, "no Header add Access-Control-Allow-Origin for the path"},
		{haproxy, "no http-response add-header Access-Control-Allow-Origin for the path"},
		{cloudflare, "no Transform Rule that adds it"},
		{alb, "listener attribute routing.http.response.access_control_allow_origin unset"},
		{caddy, "no header Access-Control-Allow-Origin for the path"},
	}},
	"cors-credentials": {Warning, "A page of another origin that opens the stream withCredentials, for its cookies, hears nothing.", []Line{
		{pushHub, "cors_origins with the exact origin in place of *"},
		{nginx, "no add_header Access-Control-Allow-Origin *"},
		{apache, "no Header set Access-Control-Allow-Origin *"},
		{haproxy, "no http-response set-header Access-Control-Allow-Origin *"},
		{cloudflare, "no Transform Rule that sets it to *"},
		{alb, "listener attribute routing.http.response.access_control_allow_origin unset"},
		{caddy, "no header Access-Control-Allow-Origin *"},
	}},
	"cors-preflight": {Warning, "A page of another origin that uses fetch cannot resume. EventSource can.", []Line{
		{pushHub, "cors_origins with that origin"},
		{nginx, "no answer of its own to OPTIONS: proxy_pass it"},
		{apache, "no RewriteRule and no Limit for OPTIONS"},
		{haproxy, "no http-request return for OPTIONS"},
		{cloudflare, "Access: bypass OPTIONS requests to the origin"},
		{alb, "no rule that answers or signs in OPTIONS"},
		{caddy, "no respond for OPTIONS above sse_push"},
	}},
	"cookie-samesite": {Warning, "Browsers do not send that cookie from a page on another site: the user is not known.", []Line{
		{app, "Set-Cookie: …; SameSite=None; Secure, or a ticket in place of the cookie"},
		{nginx, "proxy_cookie_flags ~ samesite=none secure;"},
		{apache, "Header edit Set-Cookie $ \"; SameSite=None; Secure\""},
		{haproxy, `http-response replace-header Set-Cookie (.*) "\1; SameSite=None; Secure"`},
		{cloudflare, "nothing: it passes the app's cookies on"},
		{alb, "nothing: it passes the app's cookies on"},
		{caddy, `header >Set-Cookie $ "; SameSite=None; Secure"`},
	}},
}

var multiplex = []Line{
	{nginx, "http2 on; beside listen 443 ssl; (before 1.25.1: listen 443 ssl http2;)"},
	{apache, "Protocols h2 http/1.1"},
	{haproxy, "bind :443 ssl crt site.pem alpn h2,http/1.1"},
	{cloudflare, "Speed > Settings > Protocol: HTTP/2 on"},
	{alb, "a listener of HTTPS, and routing.http2.enabled=true"},
	{caddy, "an address without http://, and no protocols h1"},
}
