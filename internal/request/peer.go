package request

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Prefixes is a set of addresses.
type Prefixes []netip.Prefix

var loopback = Prefixes{
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("::1/128"),
}

// ParsePrefixes parses `loopback`, `private_ranges` (with Caddy's meaning), addresses and CIDR ranges.
func ParsePrefixes(words []string) (Prefixes, error) {
	var set Prefixes
	for _, word := range words {
		switch word {
		case "loopback":
			set = append(set, loopback...)
		case "private_ranges":
			private, err := ParsePrefixes(caddyhttp.PrivateRangesCIDR())
			if err != nil {
				return nil, err
			}
			set = append(set, private...)
		default:
			prefix, ok := parsePrefix(word)
			if !ok {
				return nil, fmt.Errorf("%q must be loopback, private_ranges, an address, or a range such as 10.0.0.0/8", word)
			}
			set = append(set, prefix)
		}
	}
	return set, nil
}

func parsePrefix(s string) (netip.Prefix, bool) {
	if addr, err := netip.ParseAddr(s); err == nil {
		if addr.Zone() != "" { // zones are dropped from peers, so this prefix would match more than it says
			return netip.Prefix{}, false
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), true
	}
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, false
	}
	if prefix.Addr().Is4In6() {
		if prefix.Bits() < 96 { // it would also contain addresses that are not IPv4-mapped
			return netip.Prefix{}, false
		}
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	return prefix.Masked(), true
}

// Contains reports whether an address is in the set.
func (p Prefixes) Contains(addr netip.Addr) bool {
	addr = plain(addr)
	for _, prefix := range p {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// plain returns an address in the form in which addresses are compared: not mapped into IPv6, and without a zone.
func plain(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

// Peer returns the address of a request's direct peer, whatever its headers say, and reports whether it is known. A peer on a Unix
// socket counts as 127.0.0.1.
func Peer(r *http.Request) (netip.Addr, bool) {
	here := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	// A client may bind its own end of a Unix socket to any path, such as "10.0.0.1:80", so the address of the
	// server's end decides.
	local, known := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if known && strings.HasPrefix(local.Network(), "unix") {
		return here, true
	}
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		return plain(ap.Addr()), true
	}
	if addr, err := netip.ParseAddr(r.RemoteAddr); err == nil {
		return plain(addr), true
	}
	if !known && (r.RemoteAddr == "" || r.RemoteAddr[0] == '@' || r.RemoteAddr[0] == '/') {
		return here, true
	}
	return netip.Addr{}, false
}

// ClientAddress returns the client's address, and the network that limits count it by: for IPv6 the /64, since a client
// usually has a whole one.
func ClientAddress(r *http.Request) (remote, network string) {
	remote, _ = caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	if remote == "" {
		remote, _, _ = net.SplitHostPort(r.RemoteAddr)
	}
	addr, err := netip.ParseAddr(remote)
	if err != nil {
		return remote, remote
	}
	if addr = plain(addr); addr.Is6() {
		prefix, _ := addr.Prefix(64)
		return remote, prefix.String()
	}
	return remote, addr.String()
}
