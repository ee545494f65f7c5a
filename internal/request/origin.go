package request

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// IsOwnOrigin reports whether a request has one Origin, and it is the request's own: its host's, or, if a proxy in front has
// rewritten the host, one that the browser calls same-origin.
func IsOwnOrigin(r *http.Request) bool {
	origins := r.Header["Origin"]
	return len(origins) == 1 && (isOriginOf(origins[0], r.Host) || IsSameOrigin(r))
}

// isOriginOf reports whether an origin has a host. It ignores the scheme, since a proxy in front may have ended TLS.
func isOriginOf(origin, host string) bool {
	u, err := url.Parse(origin)
	if err != nil || defaultPorts[u.Scheme] == "" {
		return false
	}
	own := url.URL{Host: host}
	port, ownPort := u.Port(), own.Port()
	if port == "" {
		port = defaultPorts[u.Scheme]
	}
	if ownPort == "" {
		ownPort = defaultPorts[u.Scheme]
	}
	return port == ownPort && u.Hostname() != "" && strings.EqualFold(u.Hostname(), own.Hostname())
}

// MaxOrigin is the longest origin, in bytes. A host name has at most 253.
const MaxOrigin = 512

// defaultPorts are the ports that browsers leave out of an origin.
var defaultPorts = map[string]string{"http": "80", "https": "443"}

// CheckOrigin returns why no browser sends this origin, or nil.
func CheckOrigin(o string) error {
	u, err := url.Parse(o)
	if err != nil || u.Scheme == "" || u.Host == "" || !strings.EqualFold(u.Scheme+"://"+u.Host, o) || strings.ContainsAny(o, "*{}") {
		return fmt.Errorf("%q must be of the form scheme://host[:port], with nothing after it", o)
	}
	switch {
	case len(o) > MaxOrigin:
		return fmt.Errorf("%.40q… is longer than %d bytes", o, MaxOrigin)
	case strings.ToLower(o) != o:
		return fmt.Errorf("%q must be in lower case, as browsers send it", o)
	case strings.ContainsFunc(o, func(r rune) bool { return r <= ' ' || r > '~' }):
		return fmt.Errorf("%q must be in ASCII, as browsers send it (xn--…)", o)
	case u.Port() != "" && u.Port() == defaultPorts[u.Scheme]:
		return fmt.Errorf("%q must be without the port, as browsers leave out %s's own", o, u.Scheme)
	}
	if _, port, err := net.SplitHostPort(u.Host); err == nil && port == "" {
		return fmt.Errorf("%q has a colon without a port", o)
	}
	return nil
}
