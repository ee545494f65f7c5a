package sitetest

import (
	"crypto/tls"
	"net/http"
	"testing"

	"github.com/quic-go/quic-go/http3"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

// Via lets the next requests use a protocol: h1, h1-TLS or h2. The latter two need "tls internal".
func (s *Site) Via(protocol string) {
	s.T.Helper()
	s.Reconnect()
	if protocol == "h1" {
		return
	}
	transport := s.HTTP.Transport.(*http.Transport)
	transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	transport.ForceAttemptHTTP2 = protocol == "h2"
	s.awaitAnswer()
}

// awaitAnswer waits until the site answers: one that listens may still lack its certificate.
func (s *Site) awaitAnswer() {
	s.T.Helper()
	brokertest.Eventually(s.T, "the site answers", func() bool {
		resp, err := s.HTTP.Get(s.URL + "/")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
}

// Protocol is how a client talks to a site.
type Protocol struct {
	Name string // "h1", "h1-TLS", "h2" or "h3"
	TLS  string // the line that the site needs for it
}

// Protocols are those that streams are tested on.
var Protocols = []Protocol{{"h1", ""}, {"h1-TLS", "tls internal\n"}, {"h2", "tls internal\n"}}

// HTTP3 needs a server with "protocols h3".
var HTTP3 = Protocol{"h3", "tls internal\n"}

// OverAll runs a test on each protocol in turn.
func OverAll(t *testing.T, test func(t *testing.T, protocol, tls string)) {
	for _, p := range Protocols {
		t.Run(p.Name, func(t *testing.T) { test(t, p.Name, p.TLS) })
	}
}

// OverAllAtOnce runs a test on all protocols at the same time, for sites that have processes of their own.
func OverAllAtOnce(t *testing.T, test func(t *testing.T, protocol, tls string)) {
	for _, p := range Protocols {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			test(t, p.Name, p.TLS)
		})
	}
}

// ServeOver starts Caddy with a site for each protocol, and runs a test on all of them at the same time. body returns a site,
// whose directive needs "hub "+p.Name.
func ServeOver(t *testing.T, options string, protocols []Protocol, body func(p Protocol) string, test func(t *testing.T, s *Site, p Protocol)) {
	t.Helper()
	var bodies []string
	for _, p := range protocols {
		bodies = append(bodies, body(p))
	}
	sites := ServeWith(t, options, bodies...)
	for i, p := range protocols {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			s := sites[i].In(t)
			s.Over(p.Name)
			test(t, s, p)
		})
	}
}

// Over is Via, but knows h3 too.
func (s *Site) Over(protocol string) {
	s.T.Helper()
	if protocol != "h3" {
		s.Via(protocol)
		return
	}
	s.Via("h2") // waits for the certificate
	transport := &http3.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h3"}}}
	s.T.Cleanup(func() { transport.Close() })
	s.HTTP = &http.Client{Transport: transport}
}
