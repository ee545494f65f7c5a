package sitetest_test

import (
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/hub"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// A client that does not read delays neither a publisher nor another client. Once it reads, it has missed nothing.
func TestClientThatNeverReads(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route(""))
	dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			if err := syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096); err != nil {
				t.Error(err)
			}
		})
	}}
	slow, err := dialer.Dial("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	io.WriteString(slow, "GET /events?userId=u1 HTTP/1.0\r\n\r\n")
	brokertest.Eventually(t, "the slow client is connected", func() bool { return sitetest.Get[userCount](s, "/_sse/users/u1").Connections == 1 })

	c := s.Open("/events?userId=u1")
	// More than the kernel takes for the one that does not read.
	data := sitetest.Numbered(200, 8<<10)
	for batch := range 10 {
		s.PublishEach(sitetest.ToU1, data[batch*20:][:20]...)
		c.Want(data[batch*20:][:20]...)
	}
	list := sitetest.Get[struct{ Connections []hub.ConnectionInfo }](s, "/_sse/connections").Connections
	if len(list) != 2 || list[0].Pending == 0 && !list[0].CatchingUp {
		t.Fatalf("nothing waits for the slow client: %+v", list)
	}
	if n := sitetest.Get[userCount](s, "/_sse/users/u1").Connections; n != 2 {
		t.Errorf("the slow client was cut off: %d connections", n)
	}
	slow.SetDeadline(time.Now().Add(sitetest.Limit))
	all, err := readUntil(slow, data[len(data)-1]+"\n")
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for _, d := range data {
		i := strings.Index(all[at:], "data: "+d+"\n")
		if i < 0 {
			t.Fatalf("%.5s is missing, or not in order", d)
		}
		at += i + len(d)
	}
	if n := strings.Count(all, "\nid: "); n != len(data) && n != len(data)+1 || strings.Contains(all, "sse:gap") {
		t.Errorf("got %d events", n)
	}
}
