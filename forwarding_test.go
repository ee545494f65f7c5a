package ssepush_test

import (
	"strings"
	"testing"
)

// Whatever a proxy or a CDN adds of itself closes the internal route to those whom it forwards for.
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
	refused := func(s *site, spellings ...string) {
		t.Helper()
		for _, name := range spellings {
			if a := s.raw("GET /_sse/health HTTP/1.1\r\nHost: " + s.addr + "\r\nConnection: close\r\n" + name + ": 1\r\n\r\n"); a.status != 404 {
				t.Errorf("%s: got %d", name, a.status)
			}
		}
	}
	// Caddy passes on one of the two spellings, never both.
	s := serveWith(t, "expected_underscore_headers"+lines.String(), body)[0]
	for _, name := range strings.Fields(lines.String()) {
		refused(s, name, strings.ToLower(name))
	}
	s = serve(t, body)
	for _, name := range names {
		refused(s, name, strings.ToLower(name), strings.ToUpper(name))
	}
	for _, name := range []string{"X-Request-Id", "Traceparent", "User-Agent", "X-Cache", "Vary", "Idempotency-Key", "X-Amz-Date"} {
		if a := s.do("GET", "/_sse/health", "", name, "1"); a.status != 200 {
			t.Errorf("%s: got %d", name, a.status)
		}
	}
}
