package ssepush

import (
	"net/http"
	"slices"
	"strings"
)

// Signs of forwarding, beside all that has `forward` in its name: headers that proxies, balancers and CDNs add to what they pass on, and clients do not. Names are in
// lower case, with `-`.
var (
	forwardingNames    = []string{"via", "surrogate-capability", "x-varnish", "front-end-https", "x-original-url", "x-original-host"}
	forwardingSuffixes = []string{"client-ip", "clientip", "real-ip", "realip", "-via", "remote-ip", "remote-addr", "source-ip", "originating-ip"}
	forwardingPrefixes = []string{
		"cf-", "cdn-", "fastly-", "akamai-", "fly-", "cloudfront-", "incap-",
		"x-envoy-", "x-amzn-", "x-amz-cf-", "x-azure-", "x-vercel-", "x-arr-", "x-nf-", "x-sucuri-", "x-appengine-",
	}
)

// isForwarded reports whether a header says that the direct peer is a proxy.
func isForwarded(h http.Header) bool {
	for name := range h {
		name = strings.ToLower(dashes.Replace(name))
		if strings.Contains(name, "forward") || slices.Contains(forwardingNames, name) ||
			slices.ContainsFunc(forwardingSuffixes, func(suffix string) bool { return strings.HasSuffix(name, suffix) }) ||
			slices.ContainsFunc(forwardingPrefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			return true
		}
	}
	return false
}
