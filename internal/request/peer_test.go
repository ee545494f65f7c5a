package request

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func TestPrefixesContain(t *testing.T) {
	for _, c := range []struct {
		words []string
		in    []string
		out   []string
	}{
		{nil, nil, []string{"127.0.0.1", "::1", "10.0.0.1"}},
		{
			[]string{"loopback"},
			[]string{"127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1", "::1%eth0"},
			[]string{"128.0.0.1", "10.0.0.1", "::2", "::ffff:10.0.0.1", "fe80::1"},
		},
		{
			[]string{"private_ranges"},
			[]string{"10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.9.9", "127.0.0.1", "::1", "fd12::1", "::ffff:192.168.0.1"},
			[]string{"172.32.0.1", "8.8.8.8", "2001:db8::1", "::ffff:8.8.8.8", "169.254.1.1"},
		},
		{[]string{"10.0.0.5"}, []string{"10.0.0.5", "::ffff:10.0.0.5"}, []string{"10.0.0.4", "10.0.0.6"}},
		{[]string{"::ffff:10.0.0.5"}, []string{"10.0.0.5"}, []string{"10.0.0.6"}},
		{[]string{"::ffff:10.0.0.0/104"}, []string{"10.9.9.9", "::ffff:10.9.9.9"}, []string{"11.0.0.0", "::1"}},
		{[]string{"2001:db8::1"}, []string{"2001:db8::1"}, []string{"2001:db8::2"}},
		{[]string{"10.1.2.3/8"}, []string{"10.9.9.9"}, []string{"11.0.0.1"}}, // bits of the host are no mistake
		{[]string{"fe80::/10"}, []string{"fe80::1%eth0"}, []string{"fec0::1"}},
		{[]string{"0.0.0.0/0"}, []string{"8.8.8.8"}, []string{"::1"}},
		{[]string{"10.0.0.5", "loopback"}, []string{"10.0.0.5", "::1"}, []string{"10.0.0.6"}},
	} {
		t.Run(strings.Join(c.words, " "), func(t *testing.T) {
			p, err := ParsePrefixes(c.words)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range c.in {
				if !p.Contains(netip.MustParseAddr(s)) {
					t.Errorf("does not contain %s", s)
				}
			}
			for _, s := range c.out {
				if p.Contains(netip.MustParseAddr(s)) {
					t.Errorf("contains %s", s)
				}
			}
			if p.Contains(netip.Addr{}) {
				t.Error("contains no address at all")
			}
		})
	}
}

func TestParsePrefixesErrors(t *testing.T) {
	for _, word := range []string{"", "localhost", "10.0.0", "10.0.0.0/33", "10.0.0.0/", "/8", "fe80::1%eth0", "fe80::1%eth0/64", "::ffff:10.0.0.0/64", "Loopback", "10.0.0.1:80", "*"} {
		p, err := ParsePrefixes([]string{"loopback", word})
		if err == nil || !strings.Contains(err.Error(), `"`+word+`"`) {
			t.Errorf("%q: %v, %v; want an error that names it", word, p, err)
		}
	}
}

func TestPeer(t *testing.T) {
	tcp := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 9), Port: 80}
	unix := &net.UnixAddr{Name: "/run/caddy.sock", Net: "unix"}
	for _, c := range []struct {
		remote string
		local  net.Addr
		want   string // "": unknown
	}{
		{"172.18.0.3:4711", tcp, "172.18.0.3"},
		{"[2001:db8::1]:4711", tcp, "2001:db8::1"},
		{"[::ffff:10.0.0.1]:1", tcp, "10.0.0.1"},
		{"[fe80::1%eth0]:1", tcp, "fe80::1"},
		{"10.0.0.1", tcp, "10.0.0.1"},
		{"@", unix, "127.0.0.1"},
		{"", unix, "127.0.0.1"},
		{"/run/app.sock", unix, "127.0.0.1"},
		{"8.8.8.8:80", unix, "127.0.0.1"}, // a path the client chose
		{"@", nil, "127.0.0.1"},
		{"", nil, "127.0.0.1"},
		{"/run/app.sock", nil, "127.0.0.1"},
		{"@", tcp, ""},
		{"", tcp, ""},
		{"/run/app.sock", tcp, ""},
		{"example.com:80", tcp, ""},
		{"example.com:80", nil, ""},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.RemoteAddr = c.remote
		r.Header.Set("X-Forwarded-For", "127.0.0.1") // nothing of a header counts
		if c.local != nil {
			r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, c.local))
		}
		addr, ok := Peer(r)
		if ok != (c.want != "") || ok && addr.String() != c.want {
			t.Errorf("%q on %v: %v, %v; want %q", c.remote, c.local, addr, ok, c.want)
		}
	}
}

func TestPeerOnRealUnixSocket(t *testing.T) {
	l, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan string, 1)
	srv := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		addr, ok := Peer(r)
		if !ok {
			seen <- "unknown, remote " + r.RemoteAddr
			return
		}
		seen <- addr.String()
	})}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", l.Addr().String())
	}}}
	t.Cleanup(client.CloseIdleConnections)
	res, err := client.Get("http://app/")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if got := <-seen; got != "127.0.0.1" {
		t.Errorf("peer %s, want 127.0.0.1", got)
	}
}
