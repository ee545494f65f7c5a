package ssepush_test

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// deafFront is a proxy in front that, like many, notices that its client has left only when it writes to it.
func (s *site) deafFront() *site {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
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
				upstream, err := net.Dial("tcp", s.addr)
				if err != nil {
					return
				}
				defer upstream.Close()
				go io.Copy(upstream, client) // and what follows from its end is nothing
				_, _ = io.Copy(client, upstream)
			})
		}
	})
	s.t.Cleanup(func() {
		_ = l.Close()
		carrying.Wait()
	})
	other := *s
	other.addr = l.Addr().String()
	other.url = "http://" + other.addr
	other.reconnect()
	return &other
}

// Streams of clients that have left behind a front are found out when a newcomer needs their place, and no other stream
// ends by it.
func TestGhostsAreFoundOut(t *testing.T) {
	for name, body := range map[string]string{
		"per_user": route("limits {\nper_user 2\n}"),
		"the limit of a grant": `sse_push /events {
				user authorize /whoami
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
			s := serve(t, body)
			const target = "/events?userId=u1"
			stays := s.open(target, "Cookie", "u=1")
			front := s.deafFront()
			ghost := front.open(target, "Cookie", "u=1")
			ghost.close()
			front.client.CloseIdleConnections()

			begun := time.Now()
			newcomer := s.stream("GET", target, "", "Accept", "text/event-stream", "Cookie", "u=1")
			if m := newcomer.next(); m.Type != "sse:rejected" || m.Data != `{"reason":"per_user"}` {
				t.Fatalf("got %q", m)
			}
			if newcomer.retry < time.Second || newcomer.retry > 2*time.Second {
				t.Errorf("told to come again in %s", newcomer.retry)
			}
			waitFor(t, "the ghost is found out", func() bool { return get[userCount](s, "/_sse/users/u1").Connections == 1 })
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
			back := s.open(target, "Cookie", "u=1")
			s.publish("user", "u1", "data", "1")
			stays.want("1")
			back.want("1")
		})
	}
}

// A ticket for one use is free again as soon as another client asks for it, where its client has left.
func TestGhostOfATicketForOneUse(t *testing.T) {
	s := serve(t, trusting("user ticket "+secretA))
	target := "/events?ticket=" + ticket(secretA, map[string]any{"user": "u1", "once": "ghost", "exp": time.Now().Unix() + 600})
	front := s.deafFront()
	front.open(target).close()
	if reason := s.rejected(target); reason != "in_use" {
		t.Fatalf("got %q", reason)
	}
	waitFor(t, "the ghost is found out", func() bool { return s.connections() == 0 })
	s.open(target)
}
