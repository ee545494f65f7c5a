package redisbroker

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// DefaultMaxEvents is about how many entries a log keeps.
	DefaultMaxEvents = 100_000
	// DefaultMaxAge is about how long entries are kept.
	DefaultMaxAge = 24 * time.Hour
	// KeyWindow is how long an idempotency key is remembered.
	KeyWindow = 10 * time.Minute
)

// Options say where the log is and how much it keeps.
type Options struct {
	URL       string   // redis://, rediss:// or unix://, with user, password and database
	Addresses []string // more servers, as host:port: sentinels, or nodes of the cluster

	Username, Password string // instead of those in the URL

	Sentinel                           string // the master's name: the addresses are sentinels'
	SentinelUsername, SentinelPassword string
	Cluster                            bool

	TLS *tls.Config // with rediss:// only; nil: the system's authorities

	MaxEvents int64         // 0: DefaultMaxEvents
	MaxAge    time.Duration // 0: DefaultMaxAge; negative: no limit

	Logger *slog.Logger // nil: none
}

// errURL does not show the URL, which may hold a password.
var errURL = errors.New("url: cannot be read; write redis://user:password@host:port/database, with characters such as / and @ of a password percent-encoded, or give it as the option password")

// engine checks the options, and returns the engine that they describe.
func (o *Options) engine() (e engine, err error) {
	u, err := url.Parse(o.URL)
	if err != nil {
		return e, errURL
	}
	e.network = "tcp"
	database := strings.TrimPrefix(u.Path, "/")
	switch u.Scheme {
	case "redis", "rediss":
		if u.Hostname() == "" {
			return e, errors.New("url: names no host; write redis://host:6379")
		}
		e.addresses = []string{net.JoinHostPort(u.Hostname(), orElse(u.Port(), "6379"))}
	case "unix":
		if u.Host != "" || u.Path == "" {
			return e, errors.New("url: write unix:///path/to/redis.sock")
		}
		e.network, e.addresses = "unix", []string{u.Path}
		database = ""
	case "":
		return e, errors.New("url: has no scheme; write redis://host:6379, rediss:// for TLS, or unix:///path/to/redis.sock")
	default:
		return e, fmt.Errorf("url: the scheme %q is not one of redis, rediss and unix", u.Scheme)
	}
	for name, values := range u.Query() {
		if name != "db" || len(values) != 1 {
			return e, fmt.Errorf("url: unknown parameter %q; there is db", name)
		}
		database = values[0]
	}
	if u.Fragment != "" {
		return e, errURL
	}
	if database != "" {
		if e.database, err = strconv.Atoi(database); err != nil || e.database < 0 {
			return e, errors.New("url: the database must be a number, as in redis://host:6379/0")
		}
	}
	if u.User != nil {
		e.login.user = u.User.Username()
		e.login.password, _ = u.User.Password()
	}
	e.login = login{orElse(o.Username, e.login.user), orElse(o.Password, e.login.password)}
	if e.login.user != "" && e.login.password == "" {
		return e, errors.New("password: is missing or empty, but a user is given")
	}
	for _, a := range o.Addresses {
		if host, port, err := net.SplitHostPort(a); err != nil || host == "" || port == "" {
			return e, fmt.Errorf("address: %q must be host:port", a)
		}
		e.addresses = append(e.addresses, a)
	}
	return e, o.kind(u.Scheme, &e)
}

// kind sets what differs between one server, sentinels and a cluster.
func (o *Options) kind(scheme string, e *engine) error {
	switch {
	case o.Cluster && o.Sentinel != "":
		return errors.New("cluster: cannot be given together with sentinel")
	case o.Cluster && e.database != 0:
		return errors.New("url: a cluster has no databases")
	case scheme == "unix" && (o.Cluster || o.Sentinel != ""):
		return errors.New("url: sentinels and clusters cannot be reached by a unix socket")
	case !o.Cluster && o.Sentinel == "" && len(e.addresses) > 1:
		return errors.New("address: a single server has only one address; give sentinel or cluster as well")
	case o.Sentinel == "" && (o.SentinelUsername != "" || o.SentinelPassword != ""):
		return errors.New("sentinel_password: needs sentinel")
	case scheme != "rediss" && o.TLS != nil:
		return errors.New("tls: needs a URL that begins with rediss://")
	case o.MaxEvents < 0:
		return errors.New("max_events: must not be negative")
	}
	if scheme == "rediss" {
		if e.tls = o.TLS; e.tls == nil {
			e.tls = &tls.Config{MinVersion: tls.VersionTLS12}
		}
	}
	e.cluster, e.sentinel = o.Cluster, o.Sentinel
	e.sentinelLogin = login{o.SentinelUsername, o.SentinelPassword}
	return nil
}

func orElse(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}
