package sitetest

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// Site is a site of a Caddyfile, served by Caddy in this process.
type Site struct {
	T    *testing.T
	Addr string // host and port
	URL  string
	HTTP *http.Client

	LogFile string // Caddy's, of all sites
	options string // the servers'
}

// Log is what Caddy has logged.
func (s *Site) Log() string {
	s.T.Helper()
	text, err := os.ReadFile(s.LogFile)
	if err != nil {
		s.T.Fatal(err)
	}
	return string(text)
}

// Serve starts Caddy with one site, which body is what the Caddyfile has between its braces.
func Serve(t *testing.T, body string) *Site {
	t.Helper()
	return ServeAll(t, body)[0]
}

// ServeAll starts Caddy with several sites, each on a port of its own. {$SITE0} is the first one's address,
// and so on. One with "tls internal" is served at https://localhost.
func ServeAll(t *testing.T, bodies ...string) []*Site {
	t.Helper()
	return ServeWith(t, "", bodies...)
}

// ServeWith is serveAll with more lines for the servers' global options.
func ServeWith(t *testing.T, options string, bodies ...string) []*Site {
	t.Helper()
	for range 5 {
		sites := make([]*Site, len(bodies))
		logFile := filepath.Join(t.TempDir(), "log")
		for i, body := range bodies {
			sites[i] = NewSite(t, body)
			sites[i].LogFile, sites[i].options = logFile, options
		}
		err := Load(sites, bodies...)
		if err == nil {
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
		// Something else may have taken the port that was free a moment ago, or two sites have got the same.
		if !strings.Contains(err.Error(), "address already in use") && !strings.Contains(err.Error(), "ambiguous site definition") {
			t.Fatal(err)
		}
	}
	t.Fatal("found no free port")
	return nil
}

func NewSite(t *testing.T, body string) *Site {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := &Site{T: t, Addr: l.Addr().String()}
	s.Reconnect()
	s.URL = "http://" + s.Addr
	if strings.Contains(body, "tls internal") {
		s.URL = fmt.Sprintf("https://localhost:%d", l.Addr().(*net.TCPAddr).Port)
	}
	return s
}

// Reconnect lets the next requests have new connections, as a reload closes those that are idle.
func (s *Site) Reconnect() {
	transport := &http.Transport{}
	s.T.Cleanup(transport.CloseIdleConnections)
	s.HTTP = &http.Client{Transport: transport}
}

// In is the site for a subtest.
func (s *Site) In(t *testing.T) *Site {
	other := *s
	other.T = t
	return &other
}
