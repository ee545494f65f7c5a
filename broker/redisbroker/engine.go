package redisbroker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
)

const (
	// connecting is how long one server may take to give its first answer.
	connecting = 4 * time.Second
	// silence is how long a server that owes an answer may send nothing. It is longer than block.
	silence = 4 * time.Second
	// askEvery is how often a Sentinel is asked whether the master is still the same.
	askEvery = 5 * time.Second
	// maxMoves is how many redirections from node to node of a cluster are followed.
	maxMoves = 5
)

// engine finds the server that has the log, and connects to it. Only one goroutine may connect at a time.
type engine struct {
	network   string // "tcp" or "unix"
	addresses []string
	login     login
	database  int
	tls       *tls.Config // nil: none

	sentinel      string // the master's name
	sentinelLogin login
	cluster       bool

	probe string // a key of the log
	owner string // the node of the cluster that had the log last; "" if that is not known
}

// login is a user's name and password.
type login struct{ user, password string }

// conn is a connection to a server.
type conn struct {
	redis.Conn
	raw  net.Conn // may be closed at any time
	addr string
}

func (c *conn) close() { c.raw.Close() }

// ask sends a command and returns the answer. When ctx is done, it closes the connection.
func (c *conn) ask(ctx context.Context, command string, args ...any) (any, error) {
	defer context.AfterFunc(ctx, c.close)()
	reply, err := redis.DoWithTimeout(c.Conn, silence, command, args...)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return reply, err
}

// connect connects to the server that has the log.
func (e *engine) connect(ctx context.Context) (*conn, error) {
	switch {
	case e.sentinel != "":
		return e.connectMaster(ctx)
	case e.cluster:
		return e.connectOwner(ctx)
	}
	return e.dial(ctx, e.addresses[0])
}

// connectMaster connects to the master that the Sentinels name.
func (e *engine) connectMaster(ctx context.Context) (*conn, error) {
	addr, err := e.master(ctx)
	if err != nil {
		return nil, err
	}
	c, err := e.dial(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", addr, err)
	}
	role, err := redis.Values(c.ask(ctx, "ROLE"))
	if err == nil && len(role) > 0 {
		if name, _ := redis.String(role[0], nil); name == "master" {
			return c, nil
		}
		err = errors.New("it is not a master, although a Sentinel says so")
	}
	c.close()
	return nil, fmt.Errorf("%s: %w", addr, err)
}

// master asks the Sentinels, one after the other, until one names the master.
func (e *engine) master(ctx context.Context) (addr string, err error) {
	for _, sentinel := range e.addresses {
		if addr, err = e.masterOf(ctx, sentinel); err == nil {
			return addr, nil
		}
		err = fmt.Errorf("sentinel %s: %w", sentinel, err)
		if ctx.Err() != nil {
			break
		}
	}
	return "", err
}

func (e *engine) masterOf(ctx context.Context, sentinel string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, connecting)
	defer cancel()
	c, err := e.open(ctx, sentinel, e.sentinelLogin)
	if err != nil {
		return "", err
	}
	defer c.close()
	at, err := redis.Strings(c.ask(ctx, "SENTINEL", "get-master-addr-by-name", e.sentinel))
	switch {
	case errors.Is(err, redis.ErrNil):
		return "", fmt.Errorf("it knows no master %q", e.sentinel)
	case err != nil:
		return "", err
	case len(at) != 2:
		return "", errors.New("unexpected form of its answer")
	}
	return net.JoinHostPort(at[0], at[1]), nil
}

// watch ends a connection to a server that is no longer the master: one that is cut off from the others does not know that.
func (e *engine) watch(ctx context.Context, addr string, end context.CancelCauseFunc) {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if now, err := e.master(ctx); err == nil && now != addr {
			end(fmt.Errorf("the master is %s now", now))
			return
		}
	}
}

// connectOwner connects to the node of the cluster that has the log. All keys of a hub are in one place.
func (e *engine) connectOwner(ctx context.Context) (c *conn, err error) {
	nodes := e.addresses
	if e.owner != "" {
		nodes = append([]string{e.owner}, nodes...)
	}
	for _, addr := range nodes {
		for range maxMoves {
			if c, err = e.dial(ctx, addr); err == nil {
				e.owner = addr
				return c, nil
			}
			to := movedTo(err, addr)
			err = fmt.Errorf("%s: %w", addr, err)
			if to == "" {
				break
			}
			addr = to
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

// movedTo returns the node that a key is on, according to an answer of the node at addr; "" if err is not such an answer.
func movedTo(err error, addr string) string {
	if !replied(err, "MOVED ") {
		return ""
	}
	f := strings.Fields(err.Error())
	host, port, err := net.SplitHostPort(f[len(f)-1])
	if err != nil {
		return ""
	}
	if host == "" { // the same host
		host, _, _ = net.SplitHostPort(addr)
	}
	return net.JoinHostPort(host, port)
}

// elsewhere reports whether a reply says that another server has the log now, or that this address leads to a replica now.
func (e *engine) elsewhere(err error) bool {
	return e.cluster && replied(err, "MOVED ") || replied(err, "READONLY")
}

// dial connects to a server, and checks that it answers and has the log.
func (e *engine) dial(ctx context.Context, addr string) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connecting)
	defer cancel()
	c, err := e.open(ctx, addr, e.login)
	if err != nil {
		return nil, err
	}
	if e.database != 0 {
		_, err = c.ask(ctx, "SELECT", e.database)
	}
	if err == nil {
		_, err = c.ask(ctx, "EXISTS", e.probe)
	}
	// While a slot is being moved to another node, this one still answers for it.
	if err != nil && !replied(err, "ASK ") {
		c.close()
		return nil, err
	}
	return c, nil
}

// open connects to a server and logs in.
func (e *engine) open(ctx context.Context, addr string, as login) (*conn, error) {
	dialer := net.Dialer{Timeout: 2 * time.Second, KeepAlive: time.Second}
	raw, err := dialer.DialContext(ctx, e.network, addr)
	if err != nil {
		return nil, err
	}
	if e.tls != nil {
		config := e.tls.Clone()
		if config.ServerName == "" {
			config.ServerName, _, _ = net.SplitHostPort(addr)
		}
		wrapped := tls.Client(raw, config)
		if err := wrapped.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, err
		}
		raw = wrapped
	}
	c := &conn{Conn: redis.NewConn(raw, 0, silence), raw: raw, addr: addr}
	switch {
	case as.user != "":
		_, err = c.ask(ctx, "AUTH", as.user, as.password)
	case as.password != "":
		_, err = c.ask(ctx, "AUTH", as.password)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}
