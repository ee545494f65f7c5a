package request

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// localSuffixes are the suffixes of names that cannot be registered, so that no page of a stranger has such a host.
var localSuffixes = []string{".localhost", ".internal", ".local"}

// IsOwnHost reports whether a request asks for this server by a name that no stranger can own: an address, a name that only a
// local resolver knows, or the name of one of the server's sites. DNS rebinding fails this check: its page asks for the
// name that the attacker has pointed here.
func IsOwnHost(r *http.Request) bool {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if !strings.Contains(host, ".") && !strings.Contains(host, ":") {
		return true // localhost, a container's name, or no host, which no browser sends
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return true
	}
	for _, suffix := range localSuffixes {
		if strings.HasSuffix(host, suffix) {
			return true
		}
	}
	return isSite(r)
}

// isSite reports whether the server has a site for the host of a request.
func isSite(r *http.Request) bool {
	server, ok := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok {
		return false
	}
	for i := range server.Routes {
		for _, set := range server.Routes[i].MatcherSets {
			for _, matcher := range set {
				hosts, ok := matcher.(*caddyhttp.MatchHost)
				if !ok {
					continue
				}
				if match, err := hosts.MatchWithError(r); match && err == nil {
					return true
				}
			}
		}
	}
	return false
}
