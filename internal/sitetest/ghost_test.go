package sitetest_test

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// deafFront is a proxy in front that, like many, notices that its client has left only when it writes to it.
func deafFront(s *sitetest.Site) *sitetest.Site {
	s.T.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.T.Fatal(err)
	}
	var carrying sync.WaitGroup
	carrying.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			carrying.Go(func() {
				defer client.Close()
				upstream, err := net.Dial("tcp", s.Addr)
				if err != nil {
					return
				}
				defer upstream.Close()
				go io.Copy(upstream, client) // and what follows from its end is nothing
				_, _ = io.Copy(client, upstream)
			})
		}
	})
	s.T.Cleanup(func() {
		_ = l.Close()
		carrying.Wait()
	})
	other := *s
	other.Addr = l.Addr().String()
	other.URL = "http://" + other.Addr
	other.Reconnect()
	return &other
}

// Streams whose clients have left, unnoticed by a proxy in front, are found out when a newcomer needs their place; no other
// stream ends.
func TestGhostsAreFoundOut(t *testing.T) {
	for name, body := range map[string]string{
		"per_user": sitetest.Route("heartbeat 1h\nlimits {\nper_user 2\n}"),
		"the limit of a grant": `sse_push /events {
				user authorize /whoami
				heartbeat 1h
				internal /_sse {
					allow loopback
				}
			}
			handle /whoami {
				header X-SSE-User u1
				header X-SSE-Limit 2
				respond 204
			}`,
	} {
		t.Run(name, func(t *testing.T) {
			s := sitetest.Serve(t, body)
			const target = "/events?userId=u1"
			stays := s.Open(target, "Cookie", "u=1")
			front := deafFront(s)
			ghost := front.Open(target, "Cookie", "u=1")
			ghost.Close()
			front.HTTP.CloseIdleConnections()

			newcomer := s.Stream("GET", target, "", "Accept", "text/event-stream", "Cookie", "u=1")
			if m := newcomer.Next(); m.Type != "sse:rejected" || m.Data != `{"reason":"per_user"}` {
				t.Fatalf("got %q", m)
			}
			if newcomer.Retry < time.Second || newcomer.Retry > 2*time.Second {
				t.Errorf("told to come again in %s", newcomer.Retry)
			}
			var back *sitetest.Client
			brokertest.Eventually(t, "the ghost is found out", func() bool { // by one of those who come meanwhile
				back = s.Stream("GET", target, "", "Accept", "text/event-stream", "Cookie", "u=1")
				return back.Next().Type == "sse:connected"
			})
			if n := sitetest.Get[userCount](s, "/_sse/users/u1").Connections; n != 2 {
				t.Errorf("%d connections", n)
			}
			s.Publish("user", "u1", "data", "1")
			stays.Want("1")
			back.Want("1")
		})
	}
}

// If its client has left, a ticket for one use is free again as soon as another client uses it.
func TestGhostOfATicketForOneUse(t *testing.T) {
	s := sitetest.Serve(t, trusting("user ticket "+secretA))
	target := "/events?ticket=" + ticket(secretA, map[string]any{"user": "u1", "once": "ghost", "exp": time.Now().Unix() + 600})
	front := deafFront(s)
	front.Open(target).Close()
	if reason := rejected(s, target); reason != "in_use" {
		t.Fatalf("got %q", reason)
	}
	brokertest.Eventually(t, "the ghost is found out", func() bool { return s.CountConnections() == 0 })
	s.Open(target)
}
