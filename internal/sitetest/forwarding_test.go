package sitetest_test

import (
	"strings"
	"testing"

	"github.com/sse-push/caddy-sse-push/internal/sitetest"
)

// Any header that a proxy or a CDN adds closes the internal route to what it forwards.
func TestSignsOfForwarding(t *testing.T) {
	names := strings.Fields(`Forwarded X-Forwarded-For X-Forwarded-Proto X-Forward X-Original-Forwarded-For Forwarded-For X-Forwarder-For Max-Forwards X-ImForwards
		Client-IP True-Client-IP X-Client-IP X-Cluster-Client-IP Proxy-Client-IP WL-Proxy-Client-IP Incap-Client-IP Fastly-Client-IP X-Sucuri-ClientIP X-Azure-ClientIP
		X-Real-IP Real-IP Ali-CDN-Real-IP X-RealIP X-Remote-IP X-Remote-Addr Remote-Addr X-Originating-IP X-Source-IP
		Via X-Via X-Bluecoat-Via X-Iinfo-Via CF-Connecting-IP CF-Ray CF-Visitor CDN-Loop Cdn-Src-Ip Fastly-FF Fastly-SSL Akamai-Origin-Hop Fly-Region Fly-Request-Id
		CloudFront-Viewer-Address X-Amz-Cf-Id X-Envoy-External-Address X-Amzn-Trace-Id X-Azure-FDID X-Azure-SocketIP X-Vercel-Id X-Vercel-IP-Country
		X-ARR-LOG-ID X-Nf-Client-Connection-Ip X-AppEngine-Country Surrogate-Capability X-Varnish Front-End-Https X-Original-URL X-Original-Host
		X-Akamai-Config-Log-Detail X-Fastly-Client X-CDN-Provider X-Fly-Region X-CF-Instance X-NginX-Proxy`)
	var lines strings.Builder
	for _, name := range names {
		if strings.Contains(name, "-") {
			lines.WriteString(" " + strings.ReplaceAll(name, "-", "_"))
		}
	}
	const body = "sse_push {\ninternal /_sse {\nallow loopback\n}\n}"
	refused := func(s *sitetest.Site, spellings ...string) {
		t.Helper()
		for _, name := range spellings {
			if a := s.Raw("GET /_sse/health HTTP/1.1\r\nHost: " + s.Addr + "\r\nConnection: close\r\n" + name + ": 1\r\n\r\n"); a.Status != 404 {
				t.Errorf("%s: got %d", name, a.Status)
			}
		}
	}
	// Caddy passes on one of the two spellings, never both.
	s := sitetest.ServeWith(t, "expected_underscore_headers"+lines.String(), body)[0]
	for _, name := range strings.Fields(lines.String()) {
		refused(s, name, strings.ToLower(name))
	}
	s = sitetest.Serve(t, body)
	for _, name := range names {
		refused(s, name, strings.ToLower(name), strings.ToUpper(name))
	}
	for _, name := range []string{"X-Request-Id", "Traceparent", "User-Agent", "X-Cache", "Vary", "Idempotency-Key", "X-Amz-Date"} {
		if a := s.Do("GET", "/_sse/health", "", name, "1"); a.Status != 200 {
			t.Errorf("%s: got %d", name, a.Status)
		}
	}
}
