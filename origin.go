package ssepush

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
)

func checkCORS(origins []string) error {
	if slices.Contains(origins, "*") {
		if len(origins) > 1 {
			return errors.New("* must stand alone: it allows every origin, without credentials")
		}
		return nil
	}
	for _, o := range origins {
		if err := checkOrigin(o); err != nil {
			return err
		}
	}
	return nil
}

// maxOrigin is how long an origin may be, in bytes. A host's name has 253 at most.
const maxOrigin = 512

// defaultPorts are those that a browser leaves out of an origin.
var defaultPorts = map[string]string{"http": "80", "https": "443"}

// checkOrigin reports why a browser would never send an origin like this.
func checkOrigin(o string) error {
	u, err := url.Parse(o)
	if err != nil || u.Scheme == "" || u.Host == "" || !strings.EqualFold(u.Scheme+"://"+u.Host, o) || strings.ContainsAny(o, "*{}") {
		return fmt.Errorf("%q must be of the form scheme://host[:port], with nothing behind it", o)
	}
	switch {
	case len(o) > maxOrigin:
		return fmt.Errorf("%.40q… is longer than %d bytes", o, maxOrigin)
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
