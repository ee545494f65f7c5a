package ssepush_test

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A client that may come again is told so in a way that its EventSource understands.
func TestLimits(t *testing.T) {
	for _, limit := range []string{"connections", "per_user", "per_ip"} {
		t.Run(limit, func(t *testing.T) {
			s := serve(t, route("retry 1s 2s\nlimits {\n"+limit+" 1\n}\ncors_origins https://app.example.com"))
			first := s.open("/events?userId=u1")
			if limit == "per_user" {
				s.open("/events?userId=u2")
				s.open("/events") // without a user there is nothing to count
				s.open("/events")
			}
			for _, headers := range [][]string{{"Accept", "text/event-stream"}, {"Accept", "text/event-stream", "Origin", "https://app.example.com"}} {
				c := s.stream("GET", "/events?userId=u1", "", headers...)
				if c.status != http.StatusOK || c.header.Get("Content-Type") != "text/event-stream" {
					t.Fatalf("got %d %v", c.status, c.header)
				}
				if len(headers) > 2 && c.header.Get("Access-Control-Allow-Origin") == "" {
					t.Errorf("no CORS headers: %v", c.header)
				}
				m := c.next()
				if m.Type != "sse:rejected" || m.Data != `{"reason":"`+limit+`"}` || m.ID != "" {
					t.Errorf("got %q", m)
				}
				shortest, longest := 2*time.Second, 10*time.Second
				if limit == "per_user" { // the streams of those that have left are found out meanwhile
					shortest, longest = time.Second, 2*time.Second
				}
				if c.retry < shortest || c.retry > longest {
					t.Errorf("got retry %s", c.retry)
				}
				c.wantEnd()
			}
			a := s.do("GET", "/events?userId=u1", "", "Accept", "*/*")
			if after, err := strconv.Atoi(a.header.Get("Retry-After")); a.status != http.StatusServiceUnavailable || err != nil ||
				after < 1 || !strings.Contains(a.body, limit) {
				t.Errorf("got %d %v %s", a.status, a.header, a.body)
			}

			s.publish("user", "u1", "data", "still here")
			first.want("still here")
			first.close()
			waitFor(t, "the place is free again", func() bool {
				return get[userCount](s, "/_sse/users/u1").Connections == 0
			})
			s.open("/events?userId=u1")
		})
	}
}

// A POST whose body is never finished holds nothing, and nobody.
func TestHalfASubscribe(t *testing.T) {
	s := serve(t, route(""))
	conn, reader := s.dial("POST /events?userId=u1 HTTP/1.1\r\nHost: x\r\nContent-Type: " + formType + "\r\nContent-Length: 100\r\n\r\ntopic=")
	closeWrite(t, conn)
	if a := readAnswer(t, reader); a.status != http.StatusBadRequest || !strings.Contains(a.body, "cut off") {
		t.Errorf("got %d %s", a.status, a.body)
	}
	if _, err := reader.ReadByte(); err != io.EOF {
		t.Errorf("the connection is still open: %v", err)
	}
	if list := get[connections](s, "/_sse/connections"); list.Total != 0 {
		t.Errorf("left behind: %+v", list)
	}
}
