package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/net/idna"
)

// maxURL is the longest URL, in bytes.
const maxURL = 8 << 10

// defaultPorts are the ports that an origin is written without.
var defaultPorts = map[string]string{"http": "80", "https": "443"}

// ParseURL reads an absolute URL of http or https and puts its origin in the one form in which origins are compared and dialled. It
// refuses what two readers could understand differently.
func ParseURL(raw string) (*url.URL, error) {
	if len(raw) > maxURL {
		return nil, fmt.Errorf("must not be longer than %d bytes", maxURL)
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, errors.New("cannot be read as a URL") // the error would repeat what may be secret in it
	case defaultPorts[u.Scheme] == "":
		return nil, errors.New("must begin with http:// or https://")
	case u.Opaque != "" || u.Host == "":
		return nil, errors.New("has no host")
	case u.User != nil:
		return nil, errors.New("must not hold a user or a password")
	case strings.Contains(raw, "#"):
		return nil, errors.New("must not have a fragment")
	}
	host, err := canonicalHost(u)
	if err != nil {
		return nil, err
	}
	port, err := canonicalPort(u)
	if err != nil {
		return nil, err
	}
	u.Host = host + port
	return u, nil
}

// Shown returns a URL for a message. A user and a password, which it must not hold, are left out.
func Shown(raw string) string {
	at := strings.LastIndexByte(raw, '@')
	if at < 0 {
		return raw
	}
	scheme, _, found := strings.Cut(raw[:at], "://")
	if !found {
		return hidden + raw[at:]
	}
	return scheme + "://" + hidden + raw[at:]
}

// canonicalHost returns the host of u as it is dialled: in lower case and ASCII, an address in its shortest form.
func canonicalHost(u *url.URL) (string, error) {
	if strings.HasPrefix(u.Host, "[") {
		addr, err := netip.ParseAddr(u.Hostname())
		switch {
		case err != nil || !addr.Is6():
			return "", errors.New("has no IPv6 address between its brackets")
		case addr.Zone() != "":
			return "", errors.New("must not have an address with a zone")
		case addr.Is4In6():
			return "", fmt.Errorf("must have the address as %s", addr.Unmap())
		}
		return "[" + addr.String() + "]", nil
	}
	host := u.Hostname()
	if strings.ContainsFunc(host, func(r rune) bool { return r > unicode.MaxASCII }) {
		var err error
		if host, err = idna.Lookup.ToASCII(host); err != nil { // the profile by which net/http dials
			return "", errors.New("has a host that is not a DNS name")
		}
	}
	host = strings.ToLower(host)
	if len(host) > 253 || strings.ContainsFunc(host, isNotOfName) {
		return "", errors.New("has a host that is not a DNS name")
	}
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if label == "" {
			return "", errors.New("has a host with one dot too many")
		}
	}
	// Resolvers also read 127.1, 0x7f000001 and 2130706433 as addresses.
	if last := labels[len(labels)-1]; isNumber(last) {
		if addr, err := netip.ParseAddr(host); err != nil || !addr.Is4() {
			return "", errors.New("must have an IPv4 address as four decimal numbers")
		}
	}
	return host, nil
}

func isNotOfName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
}

// isNumber reports whether a label is a number: decimal, or hexadecimal or octal as C writes it.
func isNumber(label string) bool {
	_, err := strconv.ParseUint(label, 0, 64)
	digits := strings.Trim(label, "0123456789") == ""
	return digits || err == nil || label == "0x"
}

// canonicalPort returns the port of u with its colon, or "" for its scheme's own.
func canonicalPort(u *url.URL) (string, error) {
	port := u.Port()
	if port == "" {
		if strings.HasSuffix(u.Host, ":") {
			return "", errors.New("has a colon without a port")
		}
		return "", nil
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || port[0] == '0' {
		return "", errors.New("must have a port from 1 to 65535")
	}
	if port == defaultPorts[u.Scheme] {
		return "", nil
	}
	return ":" + port, nil
}

// originOf returns the origin of a URL that ParseURL has returned.
func originOf(u *url.URL) string { return u.Scheme + "://" + u.Host }
