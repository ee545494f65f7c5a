package egress

import (
	"fmt"
	"net/netip"
)

// privateBlocks are the addresses that only an origin marked as private may have.
var privateBlocks = blocks(
	"10.0.0.0/8", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",
	"::1/128", "fc00::/7",
)

// closedBlocks are addresses that no origin may have. They are those of the IANA registries of special-purpose addresses that are
// not in privateBlocks, and the addresses at which clouds reveal secrets to any program on their machines.
var closedBlocks = blocks(
	"0.0.0.0/8",        // this network
	"100.64.0.0/10",    // shared by the customers of a carrier; a cloud's metadata
	"168.63.129.16/32", // a cloud's host
	"169.254.0.0/16",   // link-local; clouds' metadata
	"192.0.0.0/24",     // protocol assignments; a cloud's metadata
	"192.0.2.0/24",     // documentation
	"192.88.99.0/24",   // relays of 6to4
	"198.18.0.0/15",    // benchmarks
	"198.51.100.0/24",  // documentation
	"203.0.113.0/24",   // documentation
	"224.0.0.0/4",      // multicast
	"240.0.0.0/4",      // reserved, and broadcast
	"2001::/23",        // protocol assignments: Teredo, ORCHID
	"2001:db8::/32",    // documentation
	"2002::/16",        // 6to4
	"3fff::/20",        // documentation
	"fd00:ec2::/32",    // a cloud's metadata
)

// publicIPv6 holds all IPv6 addresses that are given out to networks. NAT64, mapped and link-local ones are outside.
var publicIPv6 = netip.MustParsePrefix("2000::/3")

func blocks(texts ...string) (list []netip.Prefix) {
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

func within(addr netip.Addr, list []netip.Prefix) bool {
	for _, block := range list {
		if block.Contains(addr) {
			return true
		}
	}
	return false
}

// checkAddress returns why no request may go to an address, or nil. Private and loopback addresses are allowed if private is set.
func checkAddress(addr netip.Addr, private bool) error {
	zone := addr.Zone() != ""
	addr = addr.Unmap().WithZone("")
	switch {
	case !addr.IsValid() || zone || within(addr, closedBlocks):
		return fmt.Errorf("%s is an address that no request may go to", addr)
	case within(addr, privateBlocks):
		if !private {
			return fmt.Errorf("%s is a private address, and the origin is not marked as private", addr)
		}
	case addr.Is6() && !publicIPv6.Contains(addr):
		return fmt.Errorf("%s is an address that no request may go to", addr)
	}
	return nil
}
