package redisbroker

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/asynclog"
)

func init() { caddy.RegisterModule(Module{}) }

// Module keeps a hub's events in a Redis stream, which several nodes may share: Redis or Valkey, 7.0 or newer, alone, behind
// Sentinels, or as a cluster. Placeholders such as `{env.REDIS_PASSWORD}` are filled in when the config is loaded.
type Module struct {
	// Where Redis is: `redis://user:password@host:6379/0`, `rediss://` for TLS, or `unix:///path/to/redis.sock`. In a password,
	// characters such as `/` and `@` have to be percent-encoded. Required.
	URL string `json:"url,omitempty"`
	// More servers, as `host:port`: the other Sentinels, or other nodes of the cluster. Default: none.
	Addresses []string `json:"addresses,omitempty"`

	// The user, instead of the one in the URL. Here, nothing has to be percent-encoded. Default: the one in the URL.
	Username string `json:"username,omitempty"`
	// The password, instead of the one in the URL. Here, nothing has to be percent-encoded. Default: the one in the URL.
	Password string `json:"password,omitempty"`

	// The name of the master, if the URL and the addresses name Sentinels. Default: none.
	Sentinel string `json:"sentinel,omitempty"`
	// The user for the Sentinels themselves. Default: none.
	SentinelUsername string `json:"sentinel_username,omitempty"`
	// The password for the Sentinels themselves. Default: none.
	SentinelPassword string `json:"sentinel_password,omitempty"`
	// Whether the servers are a cluster. Default: false.
	Cluster bool `json:"cluster,omitempty"`

	// A PEM file with the authorities that may issue the server's certificate. Default: the system's.
	TLSCA string `json:"tls_ca,omitempty"`
	// A PEM file with a certificate for this client. Required with `tls_key`. Default: none.
	TLSCert string `json:"tls_cert,omitempty"`
	// A PEM file with the key of `tls_cert`. Required with it. Default: none.
	TLSKey string `json:"tls_key,omitempty"`
	// The name that the server's certificate must have. Default: the host in the URL.
	TLSServerName string `json:"tls_server_name,omitempty"`
	// Whether any certificate is accepted. An attacker on the network can then read and change everything.
	// Default: false.
	TLSInsecure bool `json:"tls_insecure,omitempty"`

	// About how many events are kept. Default: 100000.
	MaxEvents int64 `json:"max_events,omitempty"`
	// About how long events are kept; -1 for no limit. Default: 24h.
	MaxAge caddy.Duration `json:"max_age,omitempty"`

	logger  *slog.Logger
	options Options
}

// CaddyModule returns the Caddy module information.
func (Module) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "sse_push.brokers.redis",
		New: func() caddy.Module { return new(Module) },
	}
}

// Provision sets the module up. It connects to nothing.
func (m *Module) Provision(ctx caddy.Context) error {
	m.logger = asynclog.Logger(ctx.Slogger())
	replace := caddy.NewReplacer()
	for name, s := range map[string]*string{
		"url": &m.URL, "username": &m.Username, "password": &m.Password, "sentinel": &m.Sentinel,
		"sentinel_username": &m.SentinelUsername, "sentinel_password": &m.SentinelPassword,
		"tls_ca": &m.TLSCA, "tls_cert": &m.TLSCert, "tls_key": &m.TLSKey, "tls_server_name": &m.TLSServerName,
	} {
		if err := replaced(replace, name, s); err != nil {
			return err
		}
	}
	for i := range m.Addresses {
		if err := replaced(replace, "address", &m.Addresses[i]); err != nil {
			return err
		}
	}
	if m.URL == "" {
		return errors.New("url: is missing; write: broker redis redis://host:6379")
	}
	if m.MaxAge < 0 && m.MaxAge != -1 {
		return errors.New("max_age: must be a duration, or off")
	}
	m.options = Options{
		URL: m.URL, Addresses: m.Addresses, Username: m.Username, Password: m.Password,
		Sentinel: m.Sentinel, SentinelUsername: m.SentinelUsername, SentinelPassword: m.SentinelPassword,
		Cluster: m.Cluster, MaxEvents: m.MaxEvents, MaxAge: time.Duration(m.MaxAge), Logger: m.logger,
	}
	var err error
	if m.options.TLS, err = m.tls(); err != nil {
		return err
	}
	_, err = m.options.engine()
	return err
}

// replaced fills in placeholders. An empty value is an error: it could mean no password at all.
func replaced(r *caddy.Replacer, name string, s *string) error {
	out, err := r.ReplaceOrErr(*s, true, true)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	*s = out
	return nil
}

// tls returns the TLS settings; nil if none is given.
func (m *Module) tls() (*tls.Config, error) {
	if m.TLSCA == "" && m.TLSCert == "" && m.TLSKey == "" && m.TLSServerName == "" && !m.TLSInsecure {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: m.TLSServerName, InsecureSkipVerify: m.TLSInsecure}
	if m.TLSCA != "" {
		pem, err := os.ReadFile(m.TLSCA)
		if err != nil {
			return nil, fmt.Errorf("tls_ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls_ca: %s holds no certificate in PEM", m.TLSCA)
		}
	}
	if (m.TLSCert == "") != (m.TLSKey == "") {
		return nil, errors.New("tls_cert: a certificate and its key must be given together")
	}
	if m.TLSCert != "" {
		pair, err := tls.LoadX509KeyPair(m.TLSCert, m.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("tls_cert: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// LogKey implements the broker module. It holds no secret: all settings are hashed.
func (m *Module) LogKey() string {
	b, err := json.Marshal(m)
	if err != nil {
		panic(err) // strings and numbers
	}
	sum := sha256.Sum256(b)
	return "redis " + hex.EncodeToString(sum[:])
}

// Open implements the broker module.
func (m *Module) Open(hub string) (broker.Broker, error) { return Open(hub, m.options) }

// UnmarshalCaddyfile sets up the broker from Caddyfile tokens. Syntax:
//
//	broker redis <url> [<host:port>...] {
//		username          <name>
//		password          <secret>
//		sentinel          <master>
//		sentinel_username <name>
//		sentinel_password <secret>
//		cluster
//		tls_ca            <file>
//		tls_cert          <certificate file> <key file>
//		tls_server_name   <name>
//		tls_insecure
//		max_events        <n>
//		max_age           <duration> | off
//	}
func (m *Module) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if !d.Args(&m.URL) {
		return d.Err("redis: missing url; write: broker redis redis://host:6379")
	}
	m.Addresses = d.RemainingArgs()
	texts := map[string]*string{
		"username": &m.Username, "password": &m.Password, "sentinel": &m.Sentinel,
		"sentinel_username": &m.SentinelUsername, "sentinel_password": &m.SentinelPassword,
		"tls_ca": &m.TLSCA, "tls_server_name": &m.TLSServerName,
	}
	flags := map[string]*bool{"cluster": &m.Cluster, "tls_insecure": &m.TLSInsecure}
	given := map[string]bool{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name, args := d.Val(), d.RemainingArgs()
		if given[name] {
			return d.Errf("redis: %s is given twice", name)
		}
		given[name] = true
		want := 1
		if flags[name] != nil {
			want = 0
		} else if name == "tls_cert" {
			want = 2
		}
		text := texts[name]
		if known := text != nil || flags[name] != nil || name == "tls_cert" || name == "max_events" || name == "max_age"; !known {
			return d.Errf("redis: unknown option %q", name)
		}
		if len(args) != want {
			return d.Errf("redis: %s takes %d arguments, not %d", name, want, len(args))
		}
		switch {
		case flags[name] != nil:
			*flags[name] = true
		case text != nil:
			*text = args[0]
		case name == "tls_cert":
			m.TLSCert, m.TLSKey = args[0], args[1]
		case name == "max_events":
			n, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil || n < 1 {
				return d.Errf("redis: max_events: %q must be a number above 0", args[0])
			}
			m.MaxEvents = n
		case args[0] == "off":
			m.MaxAge = -1
		default:
			age, err := caddy.ParseDuration(args[0])
			if err != nil || age <= 0 {
				return d.Errf("redis: max_age: %q must be a duration above 0, or off", args[0])
			}
			m.MaxAge = caddy.Duration(age)
		}
	}
	return nil
}

var (
	_ caddy.Provisioner     = (*Module)(nil)
	_ caddyfile.Unmarshaler = (*Module)(nil)
)
