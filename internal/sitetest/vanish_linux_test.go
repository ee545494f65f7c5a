package sitetest_test

import (
	"context"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// vanishing returns the site for a client whose connection can vanish: then its kernel takes and answers nothing that
// comes, as if the machine were gone.
func vanishing(s *sitetest.Site) (_ *sitetest.Site, vanish func()) {
	var raw syscall.RawConn
	like := s.HTTP.Transport.(*http.Transport)
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
	other.HTTP = &http.Client{Transport: transport}
	return &other, func() {
		s.T.Helper()
		nothing := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
		var err error
		if e := raw.Control(func(fd uintptr) {
			err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &nothing})
		}); e != nil {
			err = e
		}
		if err != nil {
			s.T.Fatal(err)
		}
	}
}

// A stream whose peer has vanished ends soon, whatever it was opened by: as long as it stays, its user counts as here.
func TestVanishedPeers(t *testing.T) {
	t.Run("alone", func(t *testing.T) { testVanishedPeers(t, "", sitetest.Protocols) })
	t.Run("wrapped", func(t *testing.T) { testVanishedPeers(t, wrapped, overHTTPS) })
}

func testVanishedPeers(t *testing.T, options string, protocols []sitetest.Protocol) {
	sitetest.ServeOver(t, options, protocols, func(p sitetest.Protocol) string {
		return p.TLS + sitetest.Route("hub "+p.Name+"\nwrite_timeout 2s\nheartbeat 1s")
	}, func(t *testing.T, s *sitetest.Site, _ sitetest.Protocol) {
		for _, method := range []string{"GET", "POST"} {
			own, vanish := vanishing(s)
			t.Run(method, func(t *testing.T) {
				t.Parallel()
				s, own := s.In(t), own.In(t)
				var c *sitetest.Client
				if method == "GET" {
					c = own.Open("/events?userId=GET")
				} else {
					c = own.Stream("POST", "/events", "userId=POST", "Content-Type", sitetest.FormType, "Accept", "text/event-stream").Begin()
				}
				connected := func() int { return sitetest.Get[userCount](s, "/_sse/users/"+method).Connections }
				if n := connected(); n != 1 {
					t.Fatalf("%d connections", n)
				}
				vanish()
				begun := time.Now()
				brokertest.Eventually(t, "the stream is gone", func() bool { return connected() == 0 })
				t.Logf("it took %s", time.Since(begun))
				c.Close()
				own.HTTP.CloseIdleConnections()
			})
		}
	})
}
