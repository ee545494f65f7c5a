package redisbroker

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

func parse(text string) (*Module, error) {
	m := new(Module)
	return m, m.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
}

func provision(m *Module) error {
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	defer cancel()
	return m.Provision(ctx)
}

func TestCaddyfile(t *testing.T) {
	t.Parallel()
	m, err := parse(`redis rediss://a:1 b:2 c:3 {
		username u
		password p
		sentinel m
		sentinel_username su
		sentinel_password sp
		tls_ca ca.pem
		tls_cert c.pem k.pem
		tls_server_name n
		tls_insecure
		max_events 500
		max_age 2d
	}`)
	if err != nil {
		t.Fatal(err)
	}
	if m.URL != "rediss://a:1" || strings.Join(m.Addresses, " ") != "b:2 c:3" || m.Username != "u" || m.Password != "p" ||
		m.Sentinel != "m" || m.SentinelUsername != "su" || m.SentinelPassword != "sp" || m.TLSCA != "ca.pem" || m.TLSCert != "c.pem" ||
		m.TLSKey != "k.pem" || m.TLSServerName != "n" || !m.TLSInsecure || m.MaxEvents != 500 || m.MaxAge != caddy.Duration(48*time.Hour) {
		t.Errorf("%+v", m)
	}
	if m, err = parse("redis redis://a {\ncluster\nmax_age off\n}"); err != nil || !m.Cluster || m.MaxAge != -1 {
		t.Errorf("%+v, %v", m, err)
	}
	for text, want := range map[string]string{
		"redis":                                        "missing url",
		"redis redis://a {\ncolour red\n}":             `unknown option "colour"`,
		"redis redis://a {\ncluster yes\n}":            "cluster takes 0 arguments, not 1",
		"redis redis://a {\ntls_cert c\n}":             "tls_cert takes 2 arguments, not 1",
		"redis redis://a {\npassword\n}":               "password takes 1 arguments, not 0",
		"redis redis://a {\nmax_events 0\n}":           `max_events: "0"`,
		"redis redis://a {\nmax_events ten\n}":         `max_events: "ten"`,
		"redis redis://a {\nmax_age 0s\n}":             `max_age: "0s"`,
		"redis redis://a {\nmax_age long\n}":           `max_age: "long"`,
		"redis redis://a {\npassword a\npassword b\n}": "password is given twice",
	} {
		if _, err := parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}

func TestProvisionErrors(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t"
	for want, m := range map[string]Module{
		"url: is missing":                       {},
		`url: the scheme "http" is not`:         {URL: "http://a"},
		"url: has no scheme":                    {URL: "localhost"},
		"url: names no host":                    {URL: "redis://"},
		"url: cannot be read":                   {URL: "redis://:" + secret + "/x@host:6379"},
		"url: the database must be a number":    {URL: "redis://a/" + secret},
		`url: unknown parameter "tls"`:          {URL: "redis://a?tls=1"},
		"url: write unix:///":                   {URL: "unix://host"},
		"url: a cluster has no databases":       {URL: "redis://a/1", Cluster: true},
		"url: sentinels and clusters":           {URL: "unix:///a", Cluster: true},
		"cluster: cannot be given together":     {URL: "redis://a", Cluster: true, Sentinel: "m"},
		"address: a single server has only one": {URL: "redis://a", Addresses: []string{"b:1"}},
		`address: "b" must be host:port`:        {URL: "redis://a", Addresses: []string{"b"}, Cluster: true},
		"sentinel_password: needs":              {URL: "redis://a", SentinelPassword: secret},
		"password: is missing":                  {URL: "redis://a", Username: "u"},
		"password: evaluated placeholder":       {URL: "redis://a", Password: "{env.SSE_PUSH_NOT_SET}"},
		"tls: needs a URL that begins":          {URL: "redis://a", TLSInsecure: true},
		"tls_ca: open":                          {URL: "rediss://a", TLSCA: "no-such-file"},
		"tls_ca: module.go holds no":            {URL: "rediss://a", TLSCA: "module.go"},
		"tls_cert: a certificate and its":       {URL: "rediss://a", TLSCert: "c"},
		"tls_cert: open":                        {URL: "rediss://a", TLSCert: "no-such-file", TLSKey: "k"},
		"max_events: must not be negative":      {URL: "redis://a", MaxEvents: -1},
		"max_age: must be a duration":           {URL: "redis://a", MaxAge: -2},
	} {
		err := provision(&m)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s…", err, want)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("a secret is shown: %v", err)
		}
	}
}

func TestPlaceholdersAndKey(t *testing.T) {
	t.Setenv("SSE_PUSH_TEST_PASSWORD", "s3cr3t")
	m := Module{URL: "redis://a", Password: "{env.SSE_PUSH_TEST_PASSWORD}"}
	if err := provision(&m); err != nil {
		t.Fatal(err)
	}
	if m.options.Password != "s3cr3t" {
		t.Errorf("password %q", m.options.Password)
	}
	same, other := m, m
	other.MaxEvents = 7
	if m.LogKey() != same.LogKey() || m.LogKey() == other.LogKey() || strings.Contains(m.LogKey(), "s3cr3t") {
		t.Errorf("keys %q, %q", m.LogKey(), other.LogKey())
	}
}
