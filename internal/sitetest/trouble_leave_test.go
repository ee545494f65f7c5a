package sitetest_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// cutOff is a connection that breaks when a client has sent some bytes.
type cutOff struct {
	net.Conn
	left int
}

func (c *cutOff) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b[:min(len(b), c.left)])
	if c.left -= n; err == nil && c.left == 0 {
		err = io.ErrClosedPipe
	}
	return n, err
}

// part connects and leaves when some bytes of the handshake and of a request are sent, as a program that ends does or
// as one that crashes.
func part(s *sitetest.Site, bytes int, crash bool) error {
	conn, err := net.Dial("tcp", s.Addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if crash {
		if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
			return err
		}
	}
	var to net.Conn = &cutOff{conn, bytes}
	if strings.HasPrefix(s.URL, "https") {
		to = tls.Client(to, s.HTTP.Transport.(*http.Transport).TLSClientConfig)
	}
	_, err = fmt.Fprintf(to, "GET /events?userId=u2&topic=room HTTP/1.1\r\nHost: %s\r\n\r\n", strings.TrimPrefix(s.URL, "https://"))
	if err == nil {
		return fmt.Errorf("all was sent, in spite of %d", bytes)
	}
	return nil
}

// Clients leave in the middle of a handshake, of a request's header and of a large event. Nobody else notices, and
// nothing is left.
func TestLeaveHalfway(t *testing.T) {
	sitetest.OverAll(t, func(t *testing.T, protocol, tls string) {
		s := sitetest.Serve(t, sitetest.Crowded(tls, "", ""))
		s.Via(protocol)
		before := s.Settled()
		publisher := s.In(t)
		publisher.Via(protocol)
		stays := &sitetest.Counter{Client: s.Open("/events?userId=u1&topic=room")}

		for i := range 60 {
			bytes := 1 + i
			if tls != "" { // of the client's first message, or of the one after the server's answer
				bytes = 1 + i*10
			}
			if err := part(s, bytes, i%2 == 0); err != nil {
				t.Fatal(err)
			}
		}
		large := strings.Repeat("x", 1<<20-10)
		const rounds, leavers = 2, 6
		for round := range rounds {
			var opening, leaving sync.WaitGroup
			for i := range leavers {
				opening.Add(1)
				leaving.Go(func() {
					own, v := s.Apart()
					ctx, cancel := context.WithCancel(context.Background())
					defer cancel()
					resp, err := own.HTTP.Do(own.Request(ctx, "GET", "/events?userId=u2&topic=room", nil, nil))
					if err != nil {
						t.Error(err)
						opening.Done()
						return
					}
					defer resp.Body.Close()
					if _, err := io.ReadFull(resp.Body, make([]byte, 20)); err != nil {
						t.Error(err)
					}
					opening.Done()
					if _, err := io.ReadFull(resp.Body, make([]byte, 1000+rand.IntN(200_000))); err != nil {
						t.Error(err)
					}
					switch i % 3 {
					case 0:
						_ = v.Conn.(*net.TCPConn).SetLinger(0)
						_ = v.Close()
					case 1:
						_ = v.Close()
					case 2: // with HTTP/2 this ends the stream alone
						cancel()
						_, _ = io.Copy(io.Discard, resp.Body)
						own.HTTP.CloseIdleConnections()
					}
				})
			}
			opening.Wait()
			publisher.Publish("topic", "room", "data", fmt.Sprintf("%d %s", round, large))
			leaving.Wait()
		}
		sitetest.TakeAll(t, rounds-1, stays)
		if stays.Gaps > 0 {
			t.Errorf("%d gaps", stays.Gaps)
		}
		stays.Close()
		publisher.HTTP.CloseIdleConnections()
		s.WantNothingLeft(before)
	})
}

// Hundreds come at once, and leave at once.
func TestCrowdComesAndGoes(t *testing.T) {
	sitetest.OverAll(t, func(t *testing.T, protocol, tls string) {
		n := sitetest.ClientCount(t, map[string]int{"h1": 300, "h1-TLS": 60, "h2": 150}[protocol])
		s := sitetest.Serve(t, sitetest.Crowded(tls, "", ""))
		s.Via(protocol)
		before := s.Settled()
		stays := &sitetest.Counter{Client: s.Open("/events?userId=u1&topic=room")}
		ctx, leave := context.WithTimeout(context.Background(), 2*sitetest.Limit)
		defer leave()
		var coming, going sync.WaitGroup
		for i := range n {
			coming.Add(1)
			r := s.Request(ctx, "GET", fmt.Sprintf("/events?userId=u%d&topic=room&topic=public/%d", i%1000, i), nil, nil)
			going.Go(func() {
				resp, err := s.HTTP.Do(r)
				if err == nil {
					defer resp.Body.Close()
					_, err = io.ReadFull(resp.Body, make([]byte, 20))
				}
				coming.Done()
				if err != nil {
					t.Error(err)
					return
				}
				<-ctx.Done()
			})
		}
		coming.Wait()
		if list := sitetest.Get[sitetest.ConnectionList](s, "/_sse/connections?limit=1"); list.Total != n+1 {
			t.Errorf("%d are connected, want %d", list.Total, n+1)
		}
		s.Publish("topic", "room", "data", "0")
		leave()
		going.Wait()
		s.Publish("topic", "room", "data", "1")
		sitetest.TakeAll(t, 1, stays)
		stays.Close()
		s.WantNothingLeft(before)
	})
}
