package sitetest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// wrapped is the servers' option that makes streams over HTTPS cheaper.
const wrapped = `listener_wrappers {
	sse_push
}
`

// wrap is wrapped for the config of a process.
func wrap(http map[string]any) {
	for _, server := range http["servers"].(map[string]any) {
		server.(map[string]any)["listener_wrappers"] = []any{map[string]string{"wrapper": "sse_push"}}
	}
}

// overHTTPS are the protocols on which the wrapper has something to do.
var overHTTPS = sitetest.Protocols[1:]

// Streams are held, with all that is around them, as they are over plain HTTP/1.
func TestWrapper(t *testing.T) {
	sitetest.ServeOver(t, allOptions+wrapped, overHTTPS, func(p sitetest.Protocol) string {
		return allOver + p.TLS + sitetest.Route("heartbeat 3s\nhub "+p.Name) + sitetest.Metrics
	}, func(t *testing.T, s *sitetest.Site, p sitetest.Protocol) {
		publisher := s.In(t)
		publisher.Via("h1-TLS")
		major := map[string]int{"h1-TLS": 1, "h2": 2}[p.Name]
		lives(s, publisher, major, func() {
			if n := publisher.Scrape()[fmt.Sprintf(`sse_push_connections{hub="%s",mode="held",protocol="h%d"}`, p.Name, major)]; n != 1 {
				t.Errorf("%v streams are held", n)
			}
		})
	})
}

// The wrapper knows the address that proxy_protocol has found, and loses no byte that it has read ahead.
func TestWrapperBehindProxyProtocol(t *testing.T) { behindProxyProtocol(t, "tls\nsse_push") }

// What the handshake has settled is known to the site's handlers.
func TestWrapperTellsOfTLS(t *testing.T) {
	sitetest.ServeOver(t, wrapped, overHTTPS, func(p sitetest.Protocol) string {
		return `tls internal
			respond "{scheme} {http.request.tls.server_name} {http.request.tls.proto} {http.request.tls.version}"`
	}, func(t *testing.T, s *sitetest.Site, p sitetest.Protocol) {
		want := "https localhost " + map[string]string{"h1-TLS": "http/1.1", "h2": "h2"}[p.Name] + " tls1.3"
		if p.Name == "h1-TLS" { // its client does not name a protocol
			want = "https localhost  tls1.3"
		}
		if got := s.Do("GET", "/", "").Body; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// innerServers returns how many servers of HTTP/2 connections there are behind the wrapper.
func innerServers() int {
	buf := make([]byte, 4<<20)
	return strings.Count(string(buf[:runtime.Stack(buf, true)]), "internal/http2.(*inner).Read(")
}

// A site knows its clients by their certificates, on the first request of a connection and on those that a second inner server serves.
func TestWrapperClientCertificates(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "ann"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	sitetest.ServeOver(t, wrapped, overHTTPS, func(p sitetest.Protocol) string {
		return `tls internal {
				client_auth {
					mode request
				}
			}
			handle /who {
				respond "{http.request.tls.client.subject}"
			}
			` + sitetest.Route("user {http.request.tls.client.subject}\nhub "+p.Name)
	}, func(t *testing.T, s *sitetest.Site, p sitetest.Protocol) {
		s.HTTP.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
		s.HTTP.CloseIdleConnections()
		for range 3 {
			c := s.Open("/events")
			if c.Connected.User == nil || *c.Connected.User != "CN=ann" {
				t.Errorf("the user is %v", c.Connected.User)
			}
			brokertest.Eventually(t, "the connection has no inner server", func() bool { return innerServers() == 0 })
			if got := s.Do("GET", "/who", "").Body; got != "CN=ann" {
				t.Errorf("got %q", got)
			}
			c.Close()
			s.HTTP.CloseIdleConnections() // as one that was woken keeps its inner server for longer
		}
	})
}

// Files of all sizes go down and up unchanged, next to clients that do not read.
func TestWrapperCarriesFiles(t *testing.T) {
	dir := t.TempDir()
	big := strings.Repeat("0123456789abcdef", 5<<16)
	for name, text := range map[string]string{"big": big, "small": "x", "empty": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sitetest.ServeOver(t, wrapped, overHTTPS, func(p sitetest.Protocol) string {
		return `tls internal
			handle /echo {
				request_body {
					max_size 10MB
				}
				respond {http.request.body}
			}
			root * ` + dir + `
			file_server`
	}, func(t *testing.T, s *sitetest.Site, p sitetest.Protocol) {
		unread, err := s.HTTP.Get(s.URL + "/big")
		if err != nil {
			t.Fatal(err)
		}
		defer unread.Body.Close()
		for range 5 {
			if got := s.Do("GET", "/big", "").Body; got != big {
				t.Fatalf("got %d bytes", len(got))
			}
			if got := s.Do("GET", "/small", "").Body + s.Do("GET", "/empty", "").Body; got != "x" {
				t.Fatalf("got %q", got)
			}
			if got := s.Do("POST", "/echo", big).Body; got != big {
				t.Fatalf("got %d bytes back", len(got))
			}
		}
	})
}

// A server that has HTTP/2 alone, or HTTP/1 alone.
func TestWrapperWithOneProtocol(t *testing.T) {
	for _, only := range []string{"h1", "h2"} {
		t.Run(only, func(t *testing.T) {
			body := "tls internal\n" + sitetest.Route("heartbeat 1s")
			sites := sitetest.ServeWith(t, wrapped, body)
			loadOnly(t, only, sites, body)
			s := sites[0]
			s.Via(map[string]string{"h1": "h1-TLS", "h2": "h2"}[only])
			lives(s, s, map[string]int{"h1": 1, "h2": 2}[only], func() {})
		})
	}
}

// Only the start of a config that would be better off with the wrapper says so.
func TestWrapperIsAdvised(t *testing.T) {
	const line = "than with the listener wrapper sse_push"
	for name, c := range map[string]struct {
		options, body string
		advised       bool
	}{
		"with TLS":            {"", "tls internal\n" + sitetest.Route(""), true},
		"with the wrapper":    {wrapped, "tls internal\n" + sitetest.Route(""), false},
		"without TLS":         {"", sitetest.Route(""), false},
		"without a directive": {"", "tls internal\nrespond hello", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := sitetest.ServeWith(t, c.options, c.body)[0]
			if got := s.Logged(line); got != c.advised {
				t.Errorf("advised: %v", got)
			}
		})
	}
}

// The wrapper stands last, once, and after tls if there are others: elsewhere it does not see TLS, or another wrapper hides what it returns.
func TestWrapperHasItsPlace(t *testing.T) {
	s := sitetest.Serve(t, "tls internal\nrespond hello")
	config, err := sitetest.Adapt([]*sitetest.Site{s}, "tls internal\nrespond hello")
	if err != nil {
		t.Fatal(err)
	}
	for wrappers, want := range map[string]string{
		`[{"wrapper":"sse_push"},{"wrapper":"tls"}]`:                              "sse_push must come last, after tls",
		`[{"wrapper":"tls"},{"wrapper":"sse_push"},{"wrapper":"http_redirect"}]`:  "sse_push must come last, after http_redirect",
		`[{"wrapper":"sse_push"},{"wrapper":"proxy_protocol"}]`:                   "sse_push must come last, after proxy_protocol",
		`[{"wrapper":"sse_push"},{"wrapper":"sse_push"}]`:                         "sse_push is there twice",
		`[{"wrapper":"proxy_protocol"},{"wrapper":"sse_push"}]`:                   "tls is missing, so TLS comes before proxy_protocol; write proxy_protocol, tls, sse_push",
		`[{"wrapper":"proxy_protocol"},{"wrapper":"tls"},{"wrapper":"sse_push"}]`: "",
		`[{"wrapper":"sse_push"}]`:                                                "",
	} {
		changed := strings.Replace(string(config), `"protocols":`, `"listener_wrappers":`+wrappers+`,"protocols":`, 1)
		err := sitetest.LoadConfig([]*sitetest.Site{s}, []byte(changed))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v", wrappers, err)
		}
	}
}

// A server without TLS may have the wrapper after any other, as the global options are for all servers.
func TestWrapperWithoutTLS(t *testing.T) {
	s := sitetest.ServeWith(t, "listener_wrappers {\nproxy_protocol\nsse_push\n}\n", sitetest.Route("heartbeat 1s"))[0]
	lives(s, s, 1, func() {})
}

// The site's certificate is got during the first handshake.
func TestWrapperOnDemand(t *testing.T) {
	s := sitetest.ServeWith(t, wrapped, `tls internal {
			on_demand
		}
		`+sitetest.Route("heartbeat 1s"))[0]
	s.Via("h2")
	lives(s, s, 2, func() {})
}

// Plain HTTP on the port of HTTPS gets the answer that says so.
func TestWrapperAnswersPlainHTTP(t *testing.T) {
	s := sitetest.ServeWith(t, wrapped, "tls internal\n"+sitetest.Route(""))[0]
	s.Via("h2")
	conn, err := net.Dial("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if got, err := io.ReadAll(conn); err != nil || !strings.Contains(string(got), "HTTP request to an HTTPS server") {
		t.Errorf("got %q, %v", got, err)
	}
}

// Streams outlive reloads, nothing is left over after many of them, and handshakes that one falls into can be completed.
func TestWrapperReloads(t *testing.T) {
	body := "tls internal\n" + sitetest.Route("heartbeat 1s") + sitetest.Metrics
	sites := sitetest.ServeWith(t, wrapped, body)
	s := sites[0]
	s.Via("h1-TLS")
	c := s.Open("/events?userId=u1")
	second := s.In(t)
	second.Via("h2")
	d := second.Open("/events?userId=u1")
	s.Do("GET", "/", "")
	before := s.Vitals()
	stop := make(chan struct{})
	strangers := make(chan error, 1)
	go func() { // shake hands all the time
		for {
			select {
			case <-stop:
				strangers <- nil
				return
			default:
			}
			conn, err := tls.DialWithDialer(&net.Dialer{Timeout: sitetest.Limit}, "tcp", s.Addr, &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"})
			if err == nil {
				conn.Close()
			} else if !errors.Is(err, syscall.ECONNRESET) { // in the queue of a socket that a reload has closed
				strangers <- err
				return
			}
		}
	}()
	for i := range 100 {
		if err := sitetest.Load(sites, fmt.Sprintf("%s\nheader X-Round %d", body, i)); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	if err := <-strangers; err != nil {
		t.Error(err)
	}
	s.Via("h1-TLS")
	s.Publish("user", "u1", "data", "still here")
	c.Want("still here")
	d.Want("still here")
	c.Close()
	d.Close()
	s.WantNothingLeft(before)
}

// Open streams and idle connections do not hold up the exit.
func TestWrapperExits(t *testing.T) {
	p := sitetest.StartProcess(t, sitetest.Crowded("tls internal\n", "", "drain 1s"), "h1-TLS", 0, wrap)
	for range 1000 {
		conn, err := tls.Dial("tcp", p.Addr, &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, "GET /events?userId=u1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
	}
	brokertest.Eventually(t, "all are there", func() bool { return p.CountConnections() == 1000 })
	p.Terminate()
}
