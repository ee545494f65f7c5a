package sitetest

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

// Load loads a config of sites, as caddy run and caddy reload do.
func Load(sites []*Site, bodies ...string) error {
	config, err := Adapt(sites, bodies...)
	if err != nil {
		return err
	}
	return LoadConfig(sites, config)
}

// LoadConfig loads JSON. It returns when the old servers take no more connections: a connection that the kernel hands to a
// server at the moment when it closes is lost.
func LoadConfig(sites []*Site, config []byte) error {
	if err := caddy.Load(config, false); err != nil {
		return err
	}
	for _, s := range sites {
		if !brokertest.Until(func() bool { return Listeners(s.T, s.Addr) == 1 }) {
			return fmt.Errorf("an old listener of %s stays open", s.Addr)
		}
	}
	return nil
}

func Adapt(sites []*Site, bodies ...string) ([]byte, error) {
	var b strings.Builder
	b.WriteString(`{
		admin off
		persist_config off
		skip_install_trust
		auto_https disable_redirects
		default_bind 127.0.0.1
		servers {
			protocols h1 h2
			` + sites[0].options + `
		}
		log {
			output file ` + sites[0].LogFile + `
		}
	}
	`)
	for i, body := range bodies {
		// Without a host, the address serves every Host.
		fmt.Fprintf(&b, "%s {\n%s\n}\n", strings.Replace(sites[i].URL, "//127.0.0.1", "//", 1), body)
	}
	text := b.String()
	for i, s := range sites {
		text = strings.ReplaceAll(text, fmt.Sprintf("{$SITE%d}", i), s.Addr)
	}
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), nil)
	return config, err
}

// Route returns a directive with what most tests need, more lines in it, and a site after it.
func Route(more string) string {
	return `sse_push /events {
		user query userId
		anonymous
		topics room public/* user/{user}/*
		internal /_sse {
			allow loopback
		}
		` + more + `
	}
	respond "next"`
}

// Crowded returns a directive for many clients, whose hub has no limits of connections, and metrics beside it.
func Crowded(tls, limits, more string) string {
	return tls + Route("hub main\nlimits {\nconnections off\nper_user off\n"+limits+"\n}\n"+more) + Metrics
}

const Metrics = `
	handle /metrics {
		metrics
	}`

// MustLoad reloads, and lets the next requests use new connections.
func MustLoad(t *testing.T, sites []*Site, bodies ...string) {
	t.Helper()
	if err := Load(sites, bodies...); err != nil {
		t.Fatal(err)
	}
	for _, s := range sites {
		s.Reconnect()
	}
}

// Listeners returns how many sockets listen at an IPv4 address.
func Listeners(t *testing.T, addr string) (n int) {
	t.Helper()
	_, port, _ := strings.Cut(addr, ":")
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.Open("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	const listening = "00000000:0000 0A "
	lines := bufio.NewScanner(table)
	lines.Scan()                                                    // the head
	for lines.Scan() && strings.Contains(lines.Text(), listening) { // they come first; there may be thousands of others
		if strings.Contains(lines.Text(), fmt.Sprintf(":%04X %s", number, listening)) {
			n++
		}
	}
	return n
}
