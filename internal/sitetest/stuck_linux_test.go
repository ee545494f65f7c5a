package sitetest_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// tiny subscribes over TLS, with a window of a single small segment, and reads nothing of its stream. The server's kernel
// then needs several times the memory of what it is given, so that its socket says that it has room where a record does not fit.
func tiny(s *sitetest.Site, target string) {
	s.T.Helper()
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) (err error) {
		e := c.Control(func(fd uintptr) {
			if err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 600); err == nil {
				err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 1)
			}
		})
		if e != nil {
			return e
		}
		return err
	}}
	conn, err := d.Dial("tcp", s.Addr)
	if err != nil {
		s.T.Fatal(err)
	}
	s.T.Cleanup(func() { conn.Close() })
	secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"})
	if _, err := fmt.Fprintf(secure, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n\r\n", target, strings.TrimPrefix(s.URL, "https://")); err != nil {
		s.T.Fatal(err)
	}
}

// Clients that read nothing, and whose sockets take less than they say, hold no others up.
func TestStuckWritesHoldNobodyUp(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Crowded("tls internal\n", "", ""))
	s.Via("h1-TLS")
	// How full a socket has to be for it to say that it has room for a record that does not fit differs from one kernel to
	// the next: of some fillings, as many clients as there could be workers.
	const most = 30
	s.PublishEach(`"topic": "public/history"`, sitetest.Numbered(most, 1000)...)
	quick := s.Crowd(20, "/events?userId=u1&topic=room")
	n := 0
	for fill := 10; fill < most; fill++ {
		for range 4*runtime.GOMAXPROCS(0) + 2 {
			tiny(s, fmt.Sprintf("/events?userId=u2&topic=public/*&replay=%d", fill))
			n++
		}
	}
	brokertest.Eventually(t, "all are connected", func() bool {
		return sitetest.Get[sitetest.ConnectionList](s, "/_sse/connections").Total == len(quick)+n
	})
	begun := time.Now()
	for i := range 20 {
		s.Publish("topic", "public/history", "data", strings.Repeat("x", 16_000))
		s.Publish("topic", "room", "data", fmt.Sprint(i))
		sitetest.TakeAll(t, i, quick...)
	}
	if took := time.Since(begun); took > sitetest.Limit/2 {
		t.Errorf("it took %s", took)
	}
	sitetest.Leave(quick)
}
