package ssepush_test

import (
	"context"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// vanishing is the site as a client sees it whose connection can vanish: then its kernel takes and answers nothing that
// comes, as if the machine were gone.
func (s *site) vanishing() (_ *site, vanish func()) {
	var raw syscall.RawConn
	like := s.client.Transport.(*http.Transport)
	transport := &http.Transport{ForceAttemptHTTP2: like.ForceAttemptHTTP2, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		raw, err = conn.(*net.TCPConn).SyscallConn()
		return conn, err
	}}
	if like.TLSClientConfig != nil {
		transport.TLSClientConfig = like.TLSClientConfig.Clone()
	}
	other := *s
	other.client = &http.Client{Transport: transport}
	return &other, func() {
		s.t.Helper()
		nothing := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
		var err error
		if e := raw.Control(func(fd uintptr) {
			err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &nothing})
		}); e != nil {
			err = e
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// A stream whose peer has vanished ends soon, whatever it was opened by: as long as it stays, its user counts as here.
func TestVanishedPeers(t *testing.T) {
	overAll(t, func(t *testing.T, protocol, tls string) {
		s := serve(t, fair(tls, "", "write_timeout 2s\nheartbeat 1s"))
		s.via(protocol)
		for _, method := range []string{"GET", "POST"} {
			own, vanish := s.vanishing()
			var c *client
			if method == "GET" {
				c = own.open("/events?userId=u1")
			} else {
				c = own.stream("POST", "/events", "userId=u1", "Content-Type", formType, "Accept", "text/event-stream").begin()
			}
			if n := get[userCount](s, "/_sse/users/u1").Connections; n != 1 {
				t.Fatalf("%s: %d connections", method, n)
			}
			vanish()
			begun := time.Now()
			waitFor(t, method+": the stream is gone", func() bool { return get[userCount](s, "/_sse/users/u1").Connections == 0 })
			t.Logf("%s took %s", method, time.Since(begun))
			c.close()
			own.client.CloseIdleConnections()
		}
	})
}
