package ssepush_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/quic-go/quic-go/http3"
)

// allOptions is what a user may switch on for all servers. The timeouts are shorter than a stream lives, and it has less
// to write than the least rate.
const allOptions = `timeouts {
	read_body 500ms
	read_header 500ms
	write 500ms
	write_idle 500ms 1000000
	idle 500ms
}
metrics
trusted_proxies static 127.0.0.1/32
`

// allOver is what a user may switch on for a site.
const allOver = `encode gzip
log
header X-Site yes
header /events -X-Accel-Buffering
header Vary Accept
`

// over is via, for HTTP/3 as well.
func (s *site) over(protocol string) {
	s.t.Helper()
	if protocol != "h3" {
		s.via(protocol)
		return
	}
	s.via("h2") // waits for the certificate
	transport := &http3.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h3"}}}
	s.t.Cleanup(func() { transport.Close() })
	s.client = &http.Client{Transport: transport}
}

// lives holds a stream to all that it has to do: its headers, which it returns, its heartbeats through every timeout, and
// its events. meanwhile is called while it is there.
func (s *site) lives(publisher *site, proto int, meanwhile func()) http.Header {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	resp, err := s.client.Do(s.request(ctx, http.MethodGet, "/events?userId=u1", nil,
		[]string{"Accept", "text/event-stream", "Accept-Encoding", "gzip", "X-Forwarded-For", "203.0.113.7"}))
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	h := resp.Header
	if resp.StatusCode != http.StatusOK || resp.ProtoMajor != proto || h.Get("Content-Type") != "text/event-stream" ||
		h.Get("Cache-Control") != "no-store, no-transform" || h.Get("Content-Encoding") != "" || resp.ContentLength >= 0 {
		s.t.Errorf("got HTTP/%d %d %v", resp.ProtoMajor, resp.StatusCode, h)
	}
	reader := bufio.NewReader(resp.Body)
	until := func(want string) {
		s.t.Helper()
		for {
			line, err := reader.ReadString('\n')
			if err != nil {
				s.t.Fatalf("%q and %v, want %q", line, err, want)
			}
			if line == want+"\n" {
				return
			}
		}
	}
	until("event: sse:connected")
	for i := range 2 {
		until(":")
		data := fmt.Sprint("event ", i)
		publisher.publish("user", "u1", "data", data)
		until("data: " + data)
	}
	meanwhile()
	return h
}

func TestWithEverything(t *testing.T) {
	for protocol, major := range map[string]int{"h1": 1, "h1-TLS": 1, "h2": 2, "h3": 3} {
		t.Run(protocol, func(t *testing.T) {
			more := allOver
			if protocol != "h1" {
				more += "tls internal\n"
			}
			options := allOptions
			if protocol == "h3" {
				options += "protocols h3\n"
			}
			s := serveWith(t, options, more+route("heartbeat 1s"))[0]
			publisher := s.in(t)
			s.over(protocol)
			publisher.over(map[bool]string{true: "h1", false: "h1-TLS"}[protocol == "h1"])
			var remote string
			h := s.lives(publisher, major, func() {
				list := get[connections](publisher, "/_sse/connections").Connections
				if len(list) == 1 {
					remote = list[0].Remote
				}
			})
			if h.Get("X-Site") != "yes" || !strings.Contains(strings.Join(h.Values("Vary"), ","), "Accept") || h.Get("X-Accel-Buffering") != "" {
				t.Errorf("the site's own headers: %v", h)
			}
			if remote != "203.0.113.7" {
				t.Errorf("the client's address is %q", remote)
			}
			waitFor(t, "the access log has it", func() bool {
				return strings.Contains(s.log(), `"msg":"handled request"`) && strings.Contains(s.log(), `"uri":"/events?userId=u1"`)
			})
			waitFor(t, "nobody is left", func() bool { return get[connections](publisher, "/_sse/connections").Total == 0 })
		})
	}
}

// A load balancer in front says who the client is.
func TestBehindListenerWrappers(t *testing.T) {
	overAll(t, func(t *testing.T, protocol, secure string) {
		s := serveWith(t, allOptions+`listener_wrappers {
			proxy_protocol {
				timeout 2s
				allow 127.0.0.1/32
			}
			tls
		}`, secure+route("heartbeat 1s"))[0]
		publisher := s.in(t)
		publisher.via(protocol)
		s.via(protocol)
		s.client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			if err == nil {
				_, err = fmt.Fprint(conn, "PROXY TCP4 198.51.100.9 127.0.0.1 4444 443\r\n")
			}
			return conn, err
		}
		s.lives(publisher, map[bool]int{true: 2, false: 1}[protocol == "h2"], func() {})
	})
}

// A server that has HTTP/1 alone serves its streams over that. Its plain connections are of a type of Caddy's own.
func TestOnlyHTTP1(t *testing.T) {
	for protocol, secure := range map[string]string{"h1": "", "h1-TLS": "tls internal\n"} {
		t.Run(protocol, func(t *testing.T) {
			body := secure + route("heartbeat 1s")
			s := serveWith(t, allOptions, body)[0]
			config, err := adapt([]*site{s}, body)
			if err != nil {
				t.Fatal(err)
			}
			only := strings.Replace(string(config), `"protocols":["h1","h2"]`, `"protocols":["h1"]`, 1)
			if only == string(config) {
				t.Fatalf("no protocols in %s", config)
			}
			if err := loadConfig([]*site{s}, []byte(only)); err != nil {
				t.Fatal(err)
			}
			s.reconnect()
			if s.via(protocol); protocol != "h1" {
				s.client.Transport.(*http.Transport).ForceAttemptHTTP2 = true
			}
			s.lives(s, 1, func() {})
		})
	}
}
