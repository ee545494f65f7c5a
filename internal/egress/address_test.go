package egress

import (
	"net/netip"
	"testing"
)

// Each kind of address: to whom it is open.
func TestAddresses(t *testing.T) {
	const public, private, closed = "public", "private", "closed"
	for text, want := range map[string]string{
		"1.1.1.1": public, "9.255.255.255": public, "100.63.255.255": public, "100.128.0.1": public, "172.15.0.1": public, "172.32.0.1": public,
		"2606:4700::1111": public, "2a00::1": public, "2001:200::1": public,

		"10.0.0.1": private, "172.16.0.1": private, "172.31.255.255": private, "192.168.1.1": private,
		"127.0.0.1": private, "127.255.0.1": private, "::1": private, "fc00::1": private, "fd12:3456::1": private,
		"::ffff:127.0.0.1": private, "::ffff:10.0.0.1": private,

		"0.0.0.0": closed, "0.1.2.3": closed, "::": closed, "::ffff:0.0.0.0": closed,
		"100.64.0.1": closed, "100.127.255.255": closed, "100.100.100.200": closed,
		"169.254.169.254": closed, "169.254.0.1": closed, "::ffff:169.254.169.254": closed,
		"168.63.129.16": closed, "192.0.0.192": closed, "fd00:ec2::254": closed,
		"192.0.2.1": closed, "198.51.100.1": closed, "203.0.113.1": closed, "198.18.0.1": closed, "192.88.99.1": closed,
		"224.0.0.1": closed, "239.255.255.250": closed, "240.0.0.1": closed, "255.255.255.255": closed,
		"fe80::1": closed, "fe80::1%eth0": closed, "::1%lo": closed, "2606:4700::1111%eth0": closed, "fec0::1": closed, "ff02::1": closed,
		"64:ff9b::7f00:1": closed, "64:ff9b::101:101": closed, "64:ff9b:1::1": closed,
		"2002:7f00:1::1": closed, "2001::1": closed, "2001:0:5ef5:79fb::1": closed, "2001:10::1": closed, "2001:20::1": closed,
		"2001:db8::1": closed, "3fff::1": closed, "100::1": closed, "5f00::1": closed, "::127.0.0.1": closed, "::a": closed,
	} {
		addr := netip.MustParseAddr(text)
		got := closed
		switch {
		case checkAddress(addr, false) == nil:
			got = public
		case checkAddress(addr, true) == nil:
			got = private
		}
		if got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
	if checkAddress(netip.Addr{}, true) == nil {
		t.Error("no address is allowed")
	}
}
