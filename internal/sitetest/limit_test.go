package sitetest_test

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// A client that may come again is told so in a way that EventSource understands.
func TestLimits(t *testing.T) {
	for _, limit := range []string{"connections", "per_user", "per_ip"} {
		t.Run(limit, func(t *testing.T) {
			s := sitetest.Serve(t, sitetest.Route("retry 1s 2s\nlimits {\n"+limit+" 1\n}\ncors_origins https://app.example.com"))
			first := s.Open("/events?userId=u1")
			if limit == "per_user" {
				s.Open("/events?userId=u2")
				s.Open("/events") // without a user there is nothing to count
				s.Open("/events")
			}
			for _, headers := range [][]string{{"Accept", "text/event-stream"}, {"Accept", "text/event-stream", "Origin", "https://app.example.com"}} {
				c := s.Stream("GET", "/events?userId=u1", "", headers...)
				if c.Status != http.StatusOK || c.Header.Get("Content-Type") != "text/event-stream" {
					t.Fatalf("got %d %v", c.Status, c.Header)
				}
				if len(headers) > 2 && c.Header.Get("Access-Control-Allow-Origin") == "" {
					t.Errorf("no CORS headers: %v", c.Header)
				}
				m := c.Next()
				if m.Type != "sse:rejected" || m.Data != `{"reason":"`+limit+`"}` || m.ID != "" {
					t.Errorf("got %q", m)
				}
				shortest, longest := 2*time.Second, 10*time.Second
				if limit == "per_user" { // the streams of those that have left are found out meanwhile
					shortest, longest = time.Second, 2*time.Second
				}
				if c.Retry < shortest || c.Retry > longest {
					t.Errorf("got retry %s", c.Retry)
				}
				c.WantEnd()
			}
			a := s.Do("GET", "/events?userId=u1", "", "Accept", "*/*")
			if after, err := strconv.Atoi(a.Header.Get("Retry-After")); a.Status != http.StatusServiceUnavailable || err != nil ||
				after < 1 || !strings.Contains(a.Body, limit) {
				t.Errorf("got %d %v %s", a.Status, a.Header, a.Body)
			}

			s.Publish("user", "u1", "data", "still here")
			first.Want("still here")
			first.Close()
			brokertest.Eventually(t, "the place is free again", func() bool {
				return sitetest.Get[userCount](s, "/_sse/users/u1").Connections == 0
			})
			s.Open("/events?userId=u1")
		})
	}
}

// A POST whose body never ends keeps no connection of the hub.
func TestHalfASubscribe(t *testing.T) {
	s := sitetest.Serve(t, sitetest.Route(""))
	conn, reader := s.Dial("POST /events?userId=u1 HTTP/1.1\r\nHost: x\r\nContent-Type: " + sitetest.FormType + "\r\nContent-Length: 100\r\n\r\ntopic=")
	closeWrite(t, conn)
	if a := sitetest.ReadAnswer(t, reader); a.Status != http.StatusBadRequest || !strings.Contains(a.Body, "cut off") {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
	if _, err := reader.ReadByte(); err != io.EOF {
		t.Errorf("the connection is still open: %v", err)
	}
	if list := sitetest.Get[sitetest.ConnectionList](s, "/_sse/connections"); list.Total != 0 {
		t.Errorf("left behind: %+v", list)
	}
}
