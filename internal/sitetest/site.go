package sitetest

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

// Site is a site of a Caddyfile, served by Caddy in this process.
type Site struct {
	T    *testing.T
	Addr string // host and port
	URL  string
	HTTP *http.Client

	LogFile string // Caddy's log, of all sites
	options string // global options of the servers
}

// Log returns what Caddy has logged.
func (s *Site) Log() string {
	s.T.Helper()
	text, err := os.ReadFile(s.LogFile)
	if err != nil {
		s.T.Fatal(err)
	}
	return string(text)
}

// Logged reports whether a line of Caddy's log contains all parts.
func (s *Site) Logged(parts ...string) bool {
	s.T.Helper()
	for line := range strings.Lines(s.Log()) {
		if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) }) {
			return true
		}
	}
	return false
}

// Serve starts Caddy with one site. body is what stands between its braces in the Caddyfile.
func Serve(t *testing.T, body string) *Site {
	t.Helper()
	return ServeAll(t, body)[0]
}

// ServeAll starts Caddy with several sites, each on a port of its own. {$SITE0} stands for the first one's address,
// and so on. One with "tls internal" is served at https://localhost.
func ServeAll(t *testing.T, bodies ...string) []*Site {
	t.Helper()
	return ServeWith(t, "", bodies...)
}

// ServeWith is ServeAll with more lines for the servers' global options.
func ServeWith(t *testing.T, options string, bodies ...string) []*Site {
	t.Helper()
	sites := make([]*Site, len(bodies))
	logFile := filepath.Join(t.TempDir(), "log")
	for i, body := range bodies {
		sites[i] = NewSite(t, body)
		sites[i].LogFile, sites[i].options = logFile, options
	}
	if err := Load(sites, bodies...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("Caddy's log:\n%s", sites[0].Log())
		}
	})
	return sites
}

// NewSite returns a site with a port of its own, which is not yet served.
func NewSite(t *testing.T, body string) *Site {
	t.Helper()
	port := brokertest.Port(t)
	s := &Site{T: t, Addr: fmt.Sprintf("127.0.0.1:%d", port)}
	s.Reconnect()
	s.URL = "http://" + s.Addr
	if strings.Contains(body, "tls internal") {
		s.URL = fmt.Sprintf("https://localhost:%d", port)
	}
	return s
}

// Reconnect lets the next requests use new connections, as a reload closes idle ones.
func (s *Site) Reconnect() {
	transport := &http.Transport{}
	s.T.Cleanup(transport.CloseIdleConnections)
	s.HTTP = &http.Client{Transport: transport}
}

// In returns the site for a subtest.
func (s *Site) In(t *testing.T) *Site {
	other := *s
	other.T = t
	return &other
}
