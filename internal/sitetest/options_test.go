package sitetest_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// allOptions is what a user may switch on for all servers. The timeouts are shorter than a stream lives, and it has less
// to write than the least rate. A handshake has as long, even if the machine is busy.
const allOptions = `timeouts {
	read_body 2s
	read_header 2s
	write 2s
	write_idle 2s 1000000
	idle 2s
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

// lives holds a stream to all that it has to do: its headers, which it returns, its heartbeats through every timeout, and
// its events. meanwhile is called while it is there.
func lives(s *sitetest.Site, publisher *sitetest.Site, proto int, meanwhile func()) http.Header {
	s.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), sitetest.Limit)
	defer cancel()
	resp, err := s.HTTP.Do(s.Request(ctx, http.MethodGet, "/events?userId=u1", nil,
		[]string{"Accept", "text/event-stream", "Accept-Encoding", "gzip", "X-Forwarded-For", "203.0.113.7"}))
	if err != nil {
		s.T.Fatal(err)
	}
	defer resp.Body.Close()
	h := resp.Header
	if resp.StatusCode != http.StatusOK || resp.ProtoMajor != proto || h.Get("Content-Type") != "text/event-stream" ||
		h.Get("Cache-Control") != "no-store, no-transform" || h.Get("Content-Encoding") != "" || resp.ContentLength >= 0 {
		s.T.Errorf("got HTTP/%d %d %v", resp.ProtoMajor, resp.StatusCode, h)
	}
	reader := bufio.NewReader(resp.Body)
	until := func(want string) {
		s.T.Helper()
		for {
			line, err := reader.ReadString('\n')
			if err != nil {
				s.T.Fatalf("%q and %v, want %q", line, err, want)
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
		publisher.HTTP.CloseIdleConnections() // the server may be about to close one
		publisher.Publish("user", "u1", "data", data)
		until("data: " + data)
	}
	meanwhile()
	return h
}

func TestWithEverything(t *testing.T) {
	protocols := append(slices.Clone(sitetest.Protocols), sitetest.HTTP3)
	sitetest.ServeOver(t, allOptions+"protocols h3\n", protocols, func(p sitetest.Protocol) string {
		return allOver + p.TLS + sitetest.Route("heartbeat 3s\nhub "+p.Name)
	}, func(t *testing.T, s *sitetest.Site, p sitetest.Protocol) {
		publisher := s.In(t)
		publisher.Via(map[bool]string{true: "h1", false: "h1-TLS"}[p.Name == "h1"])
		major := map[string]int{"h1": 1, "h1-TLS": 1, "h2": 2, "h3": 3}[p.Name]
		var remote string
		h := lives(s, publisher, major, func() {
			list := sitetest.Get[sitetest.ConnectionList](publisher, "/_sse/connections").Connections
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
		brokertest.Eventually(t, "the access log has it", func() bool {
			return s.Logged(`"msg":"handled request"`, `"uri":"/events?userId=u1"`, s.URL[strings.LastIndex(s.URL, ":"):])
		})
		brokertest.Eventually(t, "nobody is left", func() bool { return sitetest.Get[sitetest.ConnectionList](publisher, "/_sse/connections").Total == 0 })
	})
}

// A load balancer in front tells the client's address.
func TestBehindListenerWrappers(t *testing.T) { behindProxyProtocol(t, "tls") }

// behindProxyProtocol tests streams of clients whose address a proxy tells, with more wrappers after proxy_protocol.
func behindProxyProtocol(t *testing.T, more string) {
	sitetest.ServeOver(t, allOptions+`listener_wrappers {
			proxy_protocol {
				timeout 2s
				allow 127.0.0.1/32
			}
			`+more+`
		}`, sitetest.Protocols, func(p sitetest.Protocol) string {
		return p.TLS + sitetest.Route("heartbeat 3s\nhub "+p.Name)
	}, func(t *testing.T, s *sitetest.Site, p sitetest.Protocol) {
		publisher := s.In(t)
		publisher.Via(p.Name)
		s.HTTP.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			if err == nil {
				_, err = fmt.Fprint(conn, "PROXY TCP4 198.51.100.9 127.0.0.1 4444 443\r\n")
			}
			return conn, err
		}
		s.HTTP.CloseIdleConnections()
		lives(s, publisher, map[bool]int{true: 2, false: 1}[p.Name == "h2"], func() {
			list := sitetest.Get[sitetest.ConnectionList](publisher, "/_sse/connections").Connections
			if len(list) != 1 || list[0].Remote != "198.51.100.9" {
				t.Errorf("got %+v", list)
			}
		})
	})
}

// loadOnly reloads sites so that their servers have one protocol, "h1" or "h2".
func loadOnly(t *testing.T, only string, sites []*sitetest.Site, bodies ...string) {
	t.Helper()
	config, err := sitetest.Adapt(sites, bodies...)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.ReplaceAll(string(config), `"protocols":["h1","h2"]`, `"protocols":["`+only+`"]`)
	if strings.Count(changed, `"protocols":["`+only+`"]`) != len(sites) {
		t.Fatalf("other protocols in %s", config)
	}
	if err := sitetest.LoadConfig(sites, []byte(changed)); err != nil {
		t.Fatal(err)
	}
}

// A server that has HTTP/1 alone serves its streams over that. Its plain connections are of a type of Caddy's own.
func TestOnlyHTTP1(t *testing.T) {
	var bodies []string
	protocols := sitetest.Protocols[:2]
	for _, p := range protocols {
		bodies = append(bodies, p.TLS+sitetest.Route("heartbeat 3s\nhub "+p.Name))
	}
	sites := sitetest.ServeWith(t, allOptions, bodies...)
	loadOnly(t, "h1", sites, bodies...)
	for i, p := range protocols {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			s := sites[i].In(t)
			if s.Via(p.Name); p.Name != "h1" {
				s.HTTP.Transport.(*http.Transport).ForceAttemptHTTP2 = true
			}
			lives(s, s, 1, func() {})
		})
	}
}
