package ssepush_test

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
func (s *site) part(bytes int, crash bool) error {
	conn, err := net.Dial("tcp", s.addr)
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
	if strings.HasPrefix(s.url, "https") {
		to = tls.Client(to, s.client.Transport.(*http.Transport).TLSClientConfig)
	}
	_, err = fmt.Fprintf(to, "GET /events?userId=u2&topic=room HTTP/1.1\r\nHost: %s\r\n\r\n", strings.TrimPrefix(s.url, "https://"))
	if err == nil {
		return fmt.Errorf("all was sent, in spite of %d", bytes)
	}
	return nil
}

// Clients leave in the middle of a handshake, of a request's header and of a large event. Nobody else notices, and
// nothing is left.
func TestLeaveHalfway(t *testing.T) {
	overAll(t, func(t *testing.T, protocol, tls string) {
		s := serve(t, fair(tls, "", ""))
		s.via(protocol)
		before := s.settled()
		publisher := s.in(t)
		publisher.via(protocol)
		stays := &serial{client: s.open("/events?userId=u1&topic=room")}

		for i := range 60 {
			bytes := 1 + i
			if tls != "" { // of the client's first message, or of the one behind the server's answer
				bytes = 1 + i*10
			}
			if err := s.part(bytes, i%2 == 0); err != nil {
				t.Fatal(err)
			}
		}
		large := strings.Repeat("x", 1<<20-10)
		const rounds, leavers = 5, 6
		for round := range rounds {
			var opening, leaving sync.WaitGroup
			for i := range leavers {
				opening.Add(1)
				leaving.Go(func() {
					own, v := s.apart()
					ctx, cancel := context.WithCancel(context.Background())
					defer cancel()
					resp, err := own.client.Do(own.request(ctx, "GET", "/events?userId=u2&topic=room", nil, nil))
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
						own.client.CloseIdleConnections()
					}
				})
			}
			opening.Wait()
			publisher.publish("topic", "room", "data", fmt.Sprintf("%d %s", round, large))
			leaving.Wait()
		}
		takeAll(t, rounds-1, stays)
		if stays.gaps > 0 {
			t.Errorf("%d gaps", stays.gaps)
		}
		stays.close()
		publisher.client.CloseIdleConnections()
		s.wantNothingLeft(before)
	})
}

// Thousands come at once, and leave at once.
func TestCrowdComesAndGoes(t *testing.T) {
	overAll(t, func(t *testing.T, protocol, tls string) {
		n := clients(t, map[string]int{"h1": 2000, "h1-TLS": 200, "h2": 500}[protocol])
		s := serve(t, fair(tls, "", ""))
		s.via(protocol)
		before := s.settled()
		stays := &serial{client: s.open("/events?userId=u1&topic=room")}
		ctx, leave := context.WithTimeout(context.Background(), 2*limit)
		defer leave()
		var coming, going sync.WaitGroup
		for i := range n {
			coming.Add(1)
			r := s.request(ctx, "GET", fmt.Sprintf("/events?userId=u%d&topic=room&topic=public/%d", i%1000, i), nil, nil)
			going.Go(func() {
				resp, err := s.client.Do(r)
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
		if list := get[connections](s, "/_sse/connections?limit=1"); list.Total != n+1 {
			t.Errorf("%d are connected, want %d", list.Total, n+1)
		}
		s.publish("topic", "room", "data", "0")
		leave()
		going.Wait()
		s.publish("topic", "room", "data", "1")
		takeAll(t, 1, stays)
		stays.close()
		s.wantNothingLeft(before)
	})
}
