package request

import (
	"net/http"
	"slices"
	"strings"

	"github.com/sse-push/caddy-sse-push/internal/instruction"
)

// Signs of forwarding are headers that proxies, balancers and CDNs add to what they pass on, and clients do not: those below,
// and all that have `forward` in their name. Names are in lower case, with `-`, and without `x-` at the beginning.
var (
	forwardingNames    = []string{"via", "surrogate-capability", "varnish", "front-end-https", "original-url", "original-host", "nginx-proxy"}
	forwardingSuffixes = []string{"client-ip", "clientip", "real-ip", "realip", "-via", "remote-ip", "remote-addr", "source-ip", "originating-ip"}
	forwardingPrefixes = []string{
		"cf-", "cdn-", "fastly-", "akamai-", "fly-", "cloudfront-", "incap-",
		"envoy-", "amzn-", "amz-cf-", "azure-", "vercel-", "arr-", "nf-", "sucuri-", "appengine-",
	}
)

// ordinary are names of headers that most requests have, and that are no sign.
var ordinary = map[string]bool{
	"Accept": true, "Accept-Encoding": true, "Authorization": true, "Content-Length": true, "Content-Type": true, "User-Agent": true,
}

// IsForwarded reports whether a request has a header by which its direct peer shows itself to be a proxy.
func IsForwarded(h http.Header) bool {
	for name := range h {
		if ordinary[name] {
			continue
		}
		name = strings.TrimPrefix(strings.ToLower(instruction.Dashes.Replace(name)), "x-")
		if strings.Contains(name, "forward") || slices.Contains(forwardingNames, name) ||
			slices.ContainsFunc(forwardingSuffixes, func(suffix string) bool { return strings.HasSuffix(name, suffix) }) ||
			slices.ContainsFunc(forwardingPrefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			return true
		}
	}
	return false
}
