package request

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// IsOwnOrigin reports whether the one Origin of a request is its own: that of its host, or, where a proxy in front has
// rewritten the host, whatever the browser calls same-origin.
func IsOwnOrigin(r *http.Request) bool {
	origins := r.Header["Origin"]
	return len(origins) == 1 && (ownOrigin(origins[0], r.Host) || IsSameOrigin(r))
}

// ownOrigin reports whether an origin is that of the host a request is for. The scheme does not count, since a proxy in
// front may have ended TLS.
func ownOrigin(origin, host string) bool {
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

// MaxOrigin is how long an origin may be, in bytes. A host's name has 253 at most.
const MaxOrigin = 512

// defaultPorts are those that a browser leaves out of an origin.
var defaultPorts = map[string]string{"http": "80", "https": "443"}

// CheckOrigin reports why a browser would never send an origin like this.
func CheckOrigin(o string) error {
	u, err := url.Parse(o)
	if err != nil || u.Scheme == "" || u.Host == "" || !strings.EqualFold(u.Scheme+"://"+u.Host, o) || strings.ContainsAny(o, "*{}") {
		return fmt.Errorf("%q must be of the form scheme://host[:port], with nothing behind it", o)
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
