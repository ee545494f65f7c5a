package ssepush_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tiny subscribes over TLS, with a window of a single small segment, and reads nothing of its stream. The server's kernel
// then needs several times the memory of what it is given, so that its socket says that it has room where a record does not fit.
func (s *site) tiny(target string) {
	s.t.Helper()
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
	conn, err := d.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"})
	if _, err := fmt.Fprintf(secure, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n\r\n", target, strings.TrimPrefix(s.url, "https://")); err != nil {
		s.t.Fatal(err)
	}
}

// Clients that read nothing, and whose sockets take less than they say, hold nobody up.
func TestStuckWritesHoldNobodyUp(t *testing.T) {
	s := serve(t, fair("tls internal\n", "", ""))
	s.via("h1-TLS")
	// How full a socket has to be for it to say that it has room for a record that does not fit differs from one kernel to
	// the next: of some fillings, as many clients as there could be workers.
	const most = 30
	s.publishEach(`"topic": "public/history"`, numbered(most, 1000)...)
	quick := s.crowd(20, "/events?userId=u1&topic=room")
	n := 0
	for fill := 10; fill < most; fill++ {
		for range 4*runtime.GOMAXPROCS(0) + 2 {
			s.tiny(fmt.Sprintf("/events?userId=u2&topic=public/*&replay=%d", fill))
			n++
		}
	}
	waitFor(t, "all are connected", func() bool { return get[connections](s, "/_sse/connections").Total == len(quick)+n })
	begun := time.Now()
	for i := range 20 {
		s.publish("topic", "public/history", "data", strings.Repeat("x", 16_000))
		s.publish("topic", "room", "data", fmt.Sprint(i))
		takeAll(t, i, quick...)
	}
	if took := time.Since(begun); took > limit/2 {
		t.Errorf("it took %s", took)
	}
	leave(quick)
}
