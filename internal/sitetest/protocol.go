package sitetest

import (
	"crypto/tls"
	"net/http"
	"testing"

	"github.com/quic-go/quic-go/http3"
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
	WaitFor(s.T, "the certificate is there", func() bool {
		resp, err := s.HTTP.Get(s.URL + "/")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
}

// OverAll runs a test on each protocol.
func OverAll(t *testing.T, test func(t *testing.T, protocol, tls string)) {
	for protocol, tls := range map[string]string{"h1": "", "h1-TLS": "tls internal\n", "h2": "tls internal\n"} {
		t.Run(protocol, func(t *testing.T) { test(t, protocol, tls) })
	}
}

// Over is via, for HTTP/3 as well.
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
