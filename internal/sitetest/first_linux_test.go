package sitetest

import (
	"bytes"
	"fmt"
	"net"
	"testing"
	"time"
)

// The first event of a stream comes in one packet with the headers, whatever of Caddy's own stands around the directive.
func TestFirstEventWithTheHeaders(t *testing.T) {
	for name, around := range map[string]string{
		"nothing": "", "log": "log", "encode": "encode", "header": "header -Server", "all": "log\nencode\nheader -Server\nheader >Via x",
	} {
		t.Run(name, func(t *testing.T) {
			s := Serve(t, around+"\nsse_push /events {\nanonymous\n}")
			conn, err := net.Dial("tcp", s.Addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetReadDeadline(time.Now().Add(Limit)); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(conn, "GET /events HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\nAccept-Encoding: gzip\r\n\r\n", s.Addr)
			first := make([]byte, 4096)
			n, err := conn.Read(first)
			head, body, _ := bytes.Cut(first[:n], []byte("\r\n\r\n"))
			if err != nil || !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) || !bytes.Contains(body, []byte("\r\nevent: sse:connected\n")) {
				t.Errorf("got %q, %v", first[:n], err)
			}
		})
	}
}
