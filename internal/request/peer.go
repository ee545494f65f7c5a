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

// ParsePrefixes reads `loopback`, `private_ranges` (what Caddy means by it), addresses and CIDR ranges.
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
				return nil, fmt.Errorf("%q is none of loopback, private_ranges, an address and a range such as 10.0.0.0/8", word)
			}
			set = append(set, prefix)
		}
	}
	return set, nil
}

func parsePrefix(s string) (netip.Prefix, bool) {
	if addr, err := netip.ParseAddr(s); err == nil {
		if addr.Zone() != "" { // peers are compared without theirs, so this would let in more than it says
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
		if prefix.Bits() < 96 { // it would hold addresses that are not mapped as well
			return netip.Prefix{}, false
		}
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	return prefix.Masked(), true
}

func (p Prefixes) Contains(addr netip.Addr) bool {
	addr = plain(addr)
	for _, prefix := range p {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// plain makes addresses comparable: an IPv4 address may come mapped into IPv6, a link-local one with its zone.
func plain(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

// Peer is the direct peer of a request, whatever its headers say. One on a unix socket counts as 127.0.0.1.
func Peer(r *http.Request) (netip.Addr, bool) {
	here := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	// A client may bind its own end of a unix socket to any path, "10.0.0.1:80" among them, so the address of
	// our end is asked first.
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

// ClientAddress is the client's address, and what limits count it by: of IPv6 the network, since a client has
// a /64 of its own.
func ClientAddress(r *http.Request) (remote, network string) {
	remote, _ = caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	if remote == "" {
		remote, _, _ = net.SplitHostPort(r.RemoteAddr)
	}
	addr, err := netip.ParseAddr(remote)
	if err != nil {
		return remote, remote
	}
	if addr = addr.Unmap().WithZone(""); addr.Is6() {
		prefix, _ := addr.Prefix(64)
		return remote, prefix.String()
	}
	return remote, addr.String()
}
