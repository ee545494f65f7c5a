package natsbroker

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"
	"github.com/nats-io/nats.go"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/internal/asynclog"
)

func init() { caddy.RegisterModule(Module{}) }

// Module keeps a hub's events in NATS JetStream: durable, and shared by all nodes that use the same servers. The
// servers need not be up when Caddy starts.
//
// Settings of the stream and of the connection apply when a hub is opened. A reload that changes only these keeps the
// hub, and they apply from the next start. Files of credentials are read again for each connection.
type Module struct {
	// The URLs of one or more servers of a cluster: `nats://host:4222`, or `tls://host:4222` for TLS. They may hold a user
	// and a password, or a token: `nats://user:password@host`. Default: `nats://127.0.0.1:4222`.
	Servers []string `json:"servers,omitempty"`

	// The user to log in as. Default: none.
	User string `json:"user,omitempty"`
	// The password of `user`. Default: none.
	Password string `json:"password,omitempty"`
	// The token to log in with. Default: none.
	Token string `json:"token,omitempty"`
	// The path of a file with a JWT and its key. Default: none.
	Credentials string `json:"credentials,omitempty"`
	// The path of a file with the seed of an nkey. Default: none.
	NKey string `json:"nkey,omitempty"`

	// The path of a PEM file with the authorities that may issue the servers' certificates. It implies TLS. Default: the system's.
	CA string `json:"ca,omitempty"`
	// The path of a PEM file with a certificate for this client. It implies TLS. Required with `key`. Default: none.
	Certificate string `json:"certificate,omitempty"`
	// The path of a PEM file with the key of `certificate`. Required with it. Default: none.
	Key string `json:"key,omitempty"`

	// How the names of streams (`<prefix>-<hub>`) and subjects (`<prefix>.<hub>.…`) begin. Default: `sse_push`.
	Prefix string `json:"prefix,omitempty"`

	// How many events the stream keeps. Default: 1,000,000 in a new stream if no other limit is set; an
	// existing stream keeps its own.
	MaxEvents int64 `json:"max_events,omitempty"`
	// How long the stream keeps events. An idempotency key is remembered no longer than that.
	// Default: no limit.
	MaxAge caddy.Duration `json:"max_age,omitempty"`
	// How many bytes the stream may take. Default: no limit.
	MaxBytes int64 `json:"max_bytes,omitempty"`
	// How many servers keep each event, 1 to 5. Default: 1 in a new stream.
	Replicas int `json:"replicas,omitempty"`

	options Options
}

// CaddyModule returns the Caddy module information.
func (Module) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "sse_push.brokers.nats",
		New: func() caddy.Module { return new(Module) },
	}
}

// UnmarshalCaddyfile sets up the broker from Caddyfile tokens. Syntax:
//
//	broker nats [<url...>] {
//	    user        <name> <password>
//	    token       <token>
//	    credentials <file>
//	    nkey        <seed_file>
//	    ca          <file>
//	    certificate <certificate_file> <key_file>
//	    prefix      <name>
//	    max_events  <number>
//	    max_age     <duration>
//	    max_bytes   <size>
//	    replicas    <number>
//	}
func (m *Module) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	m.Servers = d.RemainingArgs()
	seen := map[string]bool{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name := d.Val()
		args := d.RemainingArgs()
		if seen[name] {
			return d.Errf("%s is given twice", name)
		}
		seen[name] = true
		want := 1
		if name == "user" || name == "certificate" {
			want = 2
		}
		if _, known := m.setters()[name]; !known {
			return d.Errf("%q is not an option here; the options are %s", name, strings.Join(optionNames, ", "))
		}
		if len(args) != want {
			return d.Errf("%s takes %d arguments, not %d", name, want, len(args))
		}
		if err := m.setters()[name](args); err != nil {
			return d.Errf("%s: %w", name, err)
		}
	}
	return nil
}

var optionNames = []string{"user", "token", "credentials", "nkey", "ca", "certificate", "prefix", "max_events", "max_age", "max_bytes", "replicas"}

func (m *Module) setters() map[string]func(args []string) error {
	text := func(to ...*string) func([]string) error {
		return func(args []string) error {
			for i := range to {
				*to[i] = args[i]
			}
			return nil
		}
	}
	return map[string]func([]string) error{
		"user": text(&m.User, &m.Password), "token": text(&m.Token), "credentials": text(&m.Credentials), "nkey": text(&m.NKey),
		"ca": text(&m.CA), "certificate": text(&m.Certificate, &m.Key), "prefix": text(&m.Prefix),
		"max_events": func(args []string) (err error) {
			if m.MaxEvents, err = strconv.ParseInt(args[0], 10, 64); err != nil || m.MaxEvents < 1 {
				err = fmt.Errorf("%q must be a number of at least 1", args[0])
			}
			return err
		},
		"max_age": func(args []string) error {
			age, err := caddy.ParseDuration(args[0])
			if err != nil || age <= 0 {
				return fmt.Errorf("%q must be a duration of more than 0, such as 24h", args[0])
			}
			m.MaxAge = caddy.Duration(age)
			return nil
		},
		"max_bytes": func(args []string) error {
			n, err := humanize.ParseBytes(args[0])
			if err != nil || n < 1 || n > 1<<62 {
				return fmt.Errorf("%q must be a size of at least one byte, such as 1GiB", args[0])
			}
			m.MaxBytes = int64(n)
			return nil
		},
		"replicas": func(args []string) (err error) {
			if m.Replicas, err = strconv.Atoi(args[0]); err != nil || m.Replicas < 1 {
				err = fmt.Errorf("%q must be a number from 1 to 5", args[0])
			}
			return err
		},
	}
}

// Provision fills in placeholders, which may hold secrets, and checks the result.
func (m *Module) Provision(ctx caddy.Context) error {
	replacer := caddy.NewReplacer()
	for _, option := range []struct {
		name  string
		value *string
	}{
		{"user", &m.User}, {"user's password", &m.Password}, {"token", &m.Token}, {"credentials", &m.Credentials}, {"nkey", &m.NKey},
		{"ca", &m.CA}, {"certificate", &m.Certificate}, {"key", &m.Key}, {"prefix", &m.Prefix},
	} {
		if *option.value == "" {
			continue
		}
		v, err := replacer.ReplaceOrErr(*option.value, true, true)
		if err != nil {
			return fmt.Errorf("broker nats: %s: %w", option.name, err)
		}
		if v = strings.TrimSpace(v); v == "" {
			return fmt.Errorf("broker nats: %s is empty", option.name)
		}
		*option.value = v
	}
	if len(m.Servers) == 0 {
		m.Servers = []string{nats.DefaultURL}
	}
	for i, s := range m.Servers {
		v, err := replacer.ReplaceOrErr(s, true, true)
		if err == nil {
			m.Servers[i] = strings.TrimSpace(v)
			err = checkServer(m.Servers[i])
		}
		if err != nil {
			return fmt.Errorf("broker nats: server %d: %w", i+1, err)
		}
	}
	if err := m.check(); err != nil {
		return fmt.Errorf("broker nats: %w", err)
	}
	connect, err := m.connect()
	if err != nil {
		return fmt.Errorf("broker nats: %w", err)
	}
	m.options = Options{
		Servers: m.Servers, Connect: connect, Prefix: m.Prefix, MaxEvents: m.MaxEvents, MaxAge: time.Duration(m.MaxAge),
		MaxBytes: m.MaxBytes, Replicas: m.Replicas, Logger: asynclog.Logger(ctx.Slogger()),
	}
	return nil
}

// checkServer reports what is wrong with a URL, without showing what may be a secret.
func checkServer(s string) error {
	u, err := url.Parse(s)
	if err != nil {
		return errors.New("not a URL; write: nats://host:4222")
	}
	if u.Scheme != "nats" && u.Scheme != "tls" {
		return fmt.Errorf("the scheme is %q and must be nats or tls; write: nats://host:4222", u.Scheme)
	}
	if u.Hostname() == "" {
		return errors.New("the host is missing; write: nats://host:4222")
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return fmt.Errorf("%q: nothing may follow the host", u.Path)
	}
	return nil
}

// check checks the options.
func (m *Module) check() error {
	if m.Prefix = cmp.Or(m.Prefix, defaultPrefix); checkPrefix(m.Prefix) != nil {
		return fmt.Errorf("prefix: %w", checkPrefix(m.Prefix))
	}
	logins := 0
	for _, given := range []bool{m.User != "", m.Token != "", m.Credentials != "", m.NKey != ""} {
		if given {
			logins++
		}
	}
	switch {
	case logins > 1:
		return errors.New("give only one of user, token, credentials and nkey")
	case m.User == "" && m.Password != "":
		return errors.New("password: needs a user")
	case (m.Certificate == "") != (m.Key == ""):
		return errors.New("certificate and key must be given together")
	case m.Replicas < 0 || m.Replicas > 5:
		return fmt.Errorf("replicas: %d must be a number from 1 to 5", m.Replicas)
	case m.MaxEvents < 0:
		return fmt.Errorf("max_events: %d must not be negative", m.MaxEvents)
	case m.MaxBytes < 0:
		return fmt.Errorf("max_bytes: %d must not be negative", m.MaxBytes)
	case m.MaxAge != 0 && m.MaxAge < caddy.Duration(100*time.Millisecond):
		return errors.New("max_age must be at least 100ms")
	}
	return nil
}

// connect returns the options of the NATS client.
func (m *Module) connect() (options []nats.Option, err error) {
	switch {
	case m.User != "":
		options = append(options, nats.UserInfo(m.User, m.Password))
	case m.Token != "":
		options = append(options, nats.Token(m.Token))
	case m.Credentials != "":
		options = append(options, nats.UserCredentials(m.Credentials))
	case m.NKey != "":
		option, err := nats.NkeyOptionFromSeed(m.NKey)
		if err != nil {
			return nil, fmt.Errorf("nkey: reading %s: %w", m.NKey, err)
		}
		options = append(options, option)
	}
	if m.CA != "" {
		options = append(options, nats.RootCAs(m.CA))
	}
	if m.Certificate != "" {
		options = append(options, nats.ClientCert(m.Certificate, m.Key))
	}
	return options, nil
}

// LogKey implements the broker module. It holds the servers and the names there, and no secrets.
func (m *Module) LogKey() string {
	hosts := make([]string, len(m.Servers))
	for i, s := range m.Servers {
		if u, err := url.Parse(s); err == nil {
			hosts[i] = u.Host
		}
	}
	slices.Sort(hosts)
	return "nats " + m.Prefix + " " + strings.Join(hosts, ",")
}

// Open opens the log behind a hub. It does not wait for a server.
func (m *Module) Open(hub string) (broker.Broker, error) { return Open(hub, m.options), nil }

// Interface guards.
var (
	_ caddy.Provisioner     = (*Module)(nil)
	_ caddyfile.Unmarshaler = (*Module)(nil)
)
