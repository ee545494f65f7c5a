// Package e2e_test uses the product as its users do: Caddy as ./cmd/caddy builds it, with apps, browsers and proxies that are real.
package e2e_test

import (
	"testing"

	"github.com/sse-push/caddy-sse-push/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// site is a Caddyfile of one site that listens on a free port, and its URL.
func site(t *testing.T, body string) (caddyfile, url string) {
	t.Helper()
	url = "http://localhost:" + harness.Port(t)
	return "{\n\tdefault_bind 127.0.0.1\n}\n" + url + " {\n" + body + "\n}\n", url
}

// serve runs Caddy with one site.
func serve(t *testing.T, body string) (url string) {
	t.Helper()
	caddyfile, url := site(t, body)
	harness.StartCaddy(t, caddyfile)
	return url
}
