package front

import "strings"

var cloudflare = &Front{
	Name:  "Cloudflare",
	marks: []string{"cloudflare"},
	own:   func(a Answer) bool { return strings.Contains(string(a), "<hr><center>cloudflare</center>") },
	mends: map[string][]Line{
		"buffered":         {Say("Rules > Settings > Response Buffering: off (Enterprise; off unless set)")},
		"delayed":          {Say("nothing to set: look at the distance to the origin (Argo)")},
		"compressed":       {Say("Rules > Compression Rules: for /events, disable compression")},
		"cached":           {Say("Rules > Cache Rules: for /events, bypass cache")},
		"cacheable":        {Say("Rules > Cache Rules: for /events, bypass cache")},
		"idle-cut":         {Say("the limit of 100 s is fixed (Enterprise: Proxy Read Timeout): send heartbeats more often")},
		"cut":              {Say("look at the origin: a stream has no limit of its length here")},
		"no-heartbeat":     {Say("needs a heartbeat under 100 s")},
		"h1-only":          {Say("Speed > Settings > Protocol: HTTP/2 on")},
		"content-length":   {Say("no Worker that reads the whole body")},
		"redirect":         {Say("SSL/TLS mode Full, if the origin redirects to https")},
		"no-directive":     {Say("no Worker, Access login, challenge or redirect on the path")},
		"status":           {Say("403: a firewall rule or a challenge applies to the path; 52x: the origin is not reached")},
		"not-event-stream": {Say("no Worker, challenge or error page on the path")},
		"no-answer":        {Say("is the origin reached from outside?")},
		"unreachable":      {Say("the DNS record, and whether it is proxied")},
		"certificate":      {Say("SSL/TLS > Edge Certificates: this name")},
		"resume-header":    {Say("no Transform Rule that removes Last-Event-ID")},
		"resume-gap":       {Say("without a shared broker: session affinity in Load Balancing")},
		"cors-refused":     {Say("no Transform Rule that removes Access-Control-Allow-Origin")},
		"cors-twice":       {Say("no Transform Rule that adds Access-Control-Allow-Origin")},
		"cors-credentials": {Say("no Transform Rule that sets Access-Control-Allow-Origin to *")},
		"cors-preflight":   {Say("Access: bypass OPTIONS requests to the origin")},
	},
}

// allowOrigin is the attribute by which an ALB sets the header itself.
const allowOrigin = "listener attribute routing.http.response.access_control_allow_origin unset"

var alb = &Front{
	Name:  "ALB",
	marks: []string{"awselb"},
	mends: map[string][]Line{
		"buffered":         {Say("nothing: it does not buffer; a Lambda function as its target does")},
		"delayed":          {Say("nothing to set: look at the load of the targets")},
		"compressed":       {Say("nothing: it does not compress; CloudFront: compress = false")},
		"cached":           {Say("nothing: it does not cache; CloudFront: the policy CachingDisabled")},
		"cacheable":        {Say("nothing: it passes the header on; set it in the app")},
		"idle-cut":         {Say("idle_timeout.timeout_seconds=3600")},
		"cut":              {Say("look at deregistration_delay and at the targets' health")},
		"no-heartbeat":     {Say("needs a heartbeat under idle_timeout.timeout_seconds (60)")},
		"h1-only":          {Say("a listener of HTTPS, and routing.http2.enabled=true")},
		"upstream-http10":  {Say("protocol version of the target group: HTTP1 or HTTP2")},
		"content-length":   {Say("no Lambda function as the target")},
		"redirect":         {Say("a listener rule for /events, before the redirect's")},
		"no-directive":     {Say("a listener rule that takes /events to the hub's target group, before those that redirect or sign in")},
		"status":           {Say("502, 503, 504: are the targets healthy?")},
		"not-event-stream": {Say("a listener rule that takes /events to the hub's target group")},
		"no-answer":        {Say("are the targets healthy, and their security group open?")},
		"unreachable":      {Say("the listener's port and the security group")},
		"certificate":      {Say("a certificate of ACM for this name at the listener")},
		"resume-header":    {Say("nothing: it passes the header on; CloudFront: an origin request policy with it")},
		"resume-gap":       {Say("without a shared broker: stickiness.enabled=true")},
		"cors-refused":     {Say(allowOrigin)},
		"cors-twice":       {Say(allowOrigin)},
		"cors-credentials": {Say(allowOrigin)},
		"cors-preflight":   {Say("no rule that answers or signs in OPTIONS")},
	},
}
