package request

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// localSuffixes are of names that nobody outside can have a page under.
var localSuffixes = []string{".localhost", ".internal", ".local"}

// OwnHost reports whether a request asks for this server by a name that no stranger can have: an address, one that only a
// local resolver knows, or one that a site of the server is for. A page of another host, whose name its owner has pointed
// here (DNS rebinding), cannot do so: to its browser this server is that host.
func OwnHost(r *http.Request) bool {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if !strings.Contains(host, ".") && !strings.Contains(host, ":") {
		return true // localhost, a container's name; or none, which no browser sends
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

// isSite reports whether a site is for the host that a request asks for by name.
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
