package natsbroker_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/nats-io/nkeys"

	"github.com/sse-push/caddy-sse-push/broker/natsbroker"
)

// module reads a Caddyfile and provisions what it gives.
func module(t testing.TB, text string) (*natsbroker.Module, error) {
	m := new(natsbroker.Module)
	if err := m.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text)); err != nil {
		return nil, err
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	return m, m.Provision(ctx)
}

func TestCaddyfile(t *testing.T) {
	t.Setenv("NATS_TEST_SECRET", "s3cret")
	m, err := module(t, `nats nats://a:4222 nats://u:p@b:4222 {
		token {env.NATS_TEST_SECRET}
		prefix push
		max_events 5
		max_age 1d
		max_bytes 1GiB
		replicas 3
	}`)
	if err != nil {
		t.Fatal(err)
	}
	if m.Token != "s3cret" || m.MaxEvents != 5 || time.Duration(m.MaxAge) != 24*time.Hour || m.MaxBytes != 1<<30 || m.Replicas != 3 {
		t.Errorf("got %+v", m)
	}
	if m.LogKey() != "nats push a:4222,b:4222" {
		t.Errorf("the log is %q", m.LogKey())
	}
	for text, want := range map[string]string{
		"nats redis://s3cret@host":                   `scheme is "redis"`,
		"nats nats://":                               "host is missing",
		"nats nats://:s3cret@a:port":                 "not a URL",
		"nats nats://a/path":                         "nothing may follow",
		"nats {env.NATS_TEST_NOT_THERE}":             "server 1",
		"nats {\ntoken {env.NATS_TEST_NOT_THERE}\n}": "token",
		"nats {\ncolour red\n}":                      `"colour" is not an option here; the options are user, token`,
		"nats {\nuser u\n}":                          "user takes 2 arguments, not 1",
		"nats {\ntoken a\ntoken b\n}":                "token is given twice",
		"nats {\ntoken a\nuser u p\n}":               "give only one of",
		"nats {\nmax_events none\n}":                 `max_events: "none"`,
		"nats {\nmax_age -1s\n}":                     `max_age: "-1s"`,
		"nats {\nmax_bytes many\n}":                  `max_bytes: "many"`,
		"nats {\nreplicas 6\n}":                      "replicas: 6",
		"nats {\nprefix a.b\n}":                      `prefix: "a.b"`,
		"nats {\nnkey not-there\n}":                  "nkey",
	} {
		_, err := module(t, text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

// works opens a hub by a Caddyfile, and uses it.
func works(t *testing.T, text string) {
	t.Helper()
	m, err := module(t, text)
	if err != nil {
		t.Fatal(err)
	}
	b, err := m.Open("h")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	put(t, b.(*natsbroker.Broker), "1")
}

func TestLogins(t *testing.T) {
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, _ := user.Seed()
	public, _ := user.PublicKey()
	file := filepath.Join(t.TempDir(), "seed")
	if err := os.WriteFile(file, seed, 0o600); err != nil {
		t.Fatal(err)
	}
	each(t, func(t *testing.T, binary string) {
		s := start(t, binary, "authorization { users: [ { user: u, password: p }, { nkey: "+public+" } ] }")
		works(t, "nats "+s.url()+" {\nuser u p\n}")
		works(t, "nats "+s.url()+" {\nnkey "+file+"\n}")
		works(t, "nats nats://u:p@"+s.addr())
		s = start(t, binary, "authorization { token: t0ken }")
		works(t, "nats "+s.url()+" {\ntoken t0ken\n}")
		works(t, "nats nats://t0ken@"+s.addr())
	})
}

func TestTLS(t *testing.T) {
	cert, key := certificate(t)
	each(t, func(t *testing.T, binary string) {
		s := start(t, binary, fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true }", cert, key, cert))
		works(t, fmt.Sprintf("nats tls://%s {\nca %s\ncertificate %s %s\n}", s.addr(), cert, cert, key))
		m, err := module(t, "nats tls://"+s.addr()) // the system knows nothing of that authority
		if err != nil {
			t.Fatal(err)
		}
		b, _ := m.Open("h")
		defer b.Close()
		tail(t, b.(*natsbroker.Broker)).ill(t, "certificate")
	})
}

// certificate makes one that signs itself, for both sides.
func certificate(t *testing.T) (cert, key string) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, b []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "EC PRIVATE KEY", secret)
}
