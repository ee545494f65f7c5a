package redisbroker

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/gomodule/redigo/redis"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

// works appends on one node, and reads on another.
func works(t *testing.T, open func() *Broker) {
	t.Helper()
	a, b := open(), open()
	tail := started(t, a, 0)
	first := store(t, b, "1")
	store(t, b, "2")
	tail.comes(t, "1 2")
	if got := standing(t, a, first); got != broker.Exact {
		t.Errorf("what was stored stands %d", got)
	}
	if err := a.Report(t.Context(), "a", time.Minute, true, map[string]int{"u": 1}); err != nil {
		t.Error(err)
	}
	if got := counts(t, b); got["u"] != 1 {
		t.Errorf("counts %v", got)
	}
	many := map[string]int{}
	for i := range 2*reportNames + 1 {
		many[strconv.Itoa(i)] = i + 1
	}
	for range 2 {
		if err := a.Report(t.Context(), "a", time.Minute, true, many); err != nil {
			t.Error(err)
		}
		nodes, err := b.Nodes(t.Context())
		if err != nil || len(nodes) != 1 || !maps.Equal(nodes[0].Counts, many) {
			t.Errorf("of %d counts: %v, %v", len(many), nodes, err)
		}
	}
	if err := a.Report(t.Context(), "a", 0, true, nil); err != nil {
		t.Error(err)
	}
	if nodes, err := b.Nodes(t.Context()); err != nil || len(nodes) != 0 {
		t.Errorf("of a node that has ended: %v, %v", nodes, err)
	}
}

func TestUnixSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "r.sock")
	s := start(t, "--unixsocket", path, "--requirepass", "p")
	works(t, func() *Broker { return s.node(t, func(o *Options) { o.URL = "unix://:p@" + path + "?db=3" }) })
}

func TestUserAndDatabase(t *testing.T) {
	t.Parallel()
	s := start(t, "--user", "push", "on", ">a/b@c", "~sse:*", "+@all")
	works(t, func() *Broker {
		return s.node(t, func(o *Options) { o.URL = "redis://push:a%2Fb%40c@" + s.addr + "/2" })
	})
	if got, _ := redis.String(s.do(t, "INFO", "keyspace"), nil); !strings.Contains(got, "db2:") || strings.Contains(got, "db0:") {
		t.Errorf("the keys are in %q", got)
	}
}

// authority makes certificates.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	n    int64
}

func newAuthority(t *testing.T) *authority {
	a := &authority{dir: t.TempDir()}
	a.issue(t, "ca")
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// issue writes name.crt and name.key.
func (a *authority) issue(t *testing.T, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a.n++
	c := &x509.Certificate{
		SerialNumber: big.NewInt(a.n), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: a.cert == nil,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
		a.cert, a.key = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".crt": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(a.file(file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	a.issue(t, "server")
	a.issue(t, "client")
	port := freePort(t)
	start(t, "--tls-port", port, "--tls-cert-file", a.file("server.crt"), "--tls-key-file", a.file("server.key"), "--tls-ca-cert-file", a.file("ca.crt"))
	url := "rediss://127.0.0.1:" + port
	open := func(m *Module) *Broker {
		t.Helper()
		ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
		t.Cleanup(cancel)
		m.URL = url
		if err := m.Provision(ctx); err != nil {
			t.Fatal(err)
		}
		b, err := m.Open("h")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Close() })
		return b.(*Broker)
	}
	with := Module{TLSCA: a.file("ca.crt"), TLSCert: a.file("client.crt"), TLSKey: a.file("client.key")}
	works(t, func() *Broker { m := with; return open(&m) })
	insecure := with
	insecure.TLSCA, insecure.TLSInsecure = "", true
	works(t, func() *Broker { m := insecure; return open(&m) })
	for name, change := range map[string]func(m *Module){
		"an authority that is not known": func(m *Module) { m.TLSCA = "" },
		"no certificate":                 func(m *Module) { m.TLSCert, m.TLSKey = "", "" },
		"another server's name":          func(m *Module) { m.TLSServerName = "redis.example.com" },
	} {
		m := with
		change(&m)
		b := open(&m)
		tail := follow(t, b, 0)
		brokertest.Eventually(t, name+": an error", func() bool { err, _ := tail.state(); return err != nil })
		if err, _ := tail.state(); m.TLSCert != "" && !strings.Contains(err.Error(), "certificate") { // a server may just hang up
			t.Errorf("%s: %v", name, err)
		}
	}
}

// clusterNodes starts three masters.
func clusterNodes(t *testing.T) (nodes []*server) {
	t.Helper()
	for range 3 {
		nodes = append(nodes, start(t, "--cluster-enabled", "yes", "--cluster-port", freePort(t), "--cluster-node-timeout", "5000"))
	}
	for i, n := range nodes {
		n.do(t, "CLUSTER", "ADDSLOTSRANGE", fmt.Sprint(i*16384/3), fmt.Sprint((i+1)*16384/3-1))
		bus := n.args[3]
		for _, m := range nodes {
			m.do(t, "CLUSTER", "MEET", "127.0.0.1", n.port, bus)
		}
	}
	for _, n := range nodes {
		brokertest.Eventually(t, "the cluster is up", func() bool {
			info, _ := redis.String(n.do(t, "CLUSTER", "INFO"), nil)
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3")
		})
	}
	return nodes
}

func TestCluster(t *testing.T) {
	t.Parallel()
	nodes := clusterNodes(t)
	for _, hub := range []string{"h", "other", "third", ""} {
		works(t, func() *Broker {
			b, err := Open(hub, Options{URL: nodes[0].url(), Addresses: []string{nodes[1].addr}, Cluster: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { b.Close() })
			return b
		})
	}
	// The server that has the log goes away, and comes back.
	b, err := Open("h", Options{URL: nodes[0].url(), Addresses: []string{nodes[1].addr, nodes[2].addr}, Cluster: true})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	tail := started(t, b, 10)
	tail.comes(t, "1 2")
	for _, n := range nodes {
		n.Kill(t)
	}
	brokertest.Eventually(t, "the tail notices", func() bool { return !tail.healthy() })
	for _, n := range nodes {
		n.Start(t)
	}
	brokertest.Eventually(t, "the tail is back", tail.healthy)
	store(t, b, "3")
	tail.comes(t, "1 2 3")
}

func TestSentinel(t *testing.T) {
	t.Parallel()
	master := start(t, "--requirepass", "p", "--masterauth", "p")
	replica := start(t, "--replicaof", "127.0.0.1", master.port, "--requirepass", "p", "--masterauth", "p")
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("sentinel monitor mine 127.0.0.1 %s 1\nsentinel auth-pass mine p\nsentinel down-after-milliseconds mine 1000\nsentinel failover-timeout mine 5000\n", master.port)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel := startSentinel(t, conf)
	open := func() *Broker {
		return sentinel.node(t, func(o *Options) { o.Sentinel, o.Password = "mine", "p" })
	}
	works(t, open)
	b := open()
	tail := started(t, b, 10)
	tail.comes(t, "1 2")
	brokertest.Eventually(t, "the replica has it all", func() bool {
		c, err := Open("h", Options{URL: "redis://:p@" + replica.addr})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		v, err := c.view(t.Context(), c.main, tail.all()[1].Position, "XRANGE", "+", "+", 0)
		return err == nil && v.sum != 0
	})
	brokertest.Eventually(t, "the sentinel knows the replica", func() bool {
		list, err := redis.Values(sentinel.do(t, "SENTINEL", "REPLICAS", "mine"), nil)
		return err == nil && len(list) == 1
	})
	master.Kill(t)
	brokertest.Eventually(t, "an append is stored on the new master", func() bool {
		r := try(t, b, time.Second, event("3"))
		return r.Err == nil
	})
	brokertest.Eventually(t, "the tail follows", func() bool { return strings.HasSuffix(tail.texts(), "3") })
	if got := strings.TrimRight(tail.texts(), " 3"); got != "1 2" {
		t.Errorf("got %q", tail.texts())
	}
}

func startSentinel(t *testing.T, conf string) *server {
	t.Helper()
	port := freePort(t)
	s := &server{dir: t.TempDir(), port: port, addr: "127.0.0.1:" + port}
	s.run(t, conf, "--port", port, "--bind", "127.0.0.1", "--dir", s.dir, "--sentinel")
	t.Cleanup(func() { s.Kill(t) })
	return s
}

func TestTLSNeedsScheme(t *testing.T) {
	t.Parallel()
	if _, err := Open("h", Options{URL: "redis://localhost", TLS: &tls.Config{}}); err == nil || !strings.HasPrefix(err.Error(), "tls: ") {
		t.Errorf("got %v", err)
	}
}
