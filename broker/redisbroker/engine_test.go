package redisbroker

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gomodule/redigo/redis"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

func TestMovedTo(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"MOVED 3999 10.0.0.2:6381": "10.0.0.2:6381",
		"MOVED 3999 :6381":         "10.0.0.1:6381",
		"MOVED 3999 ::1:6381":      "",
		"MOVED 3999 [::1]:6381":    "[::1]:6381",
		"MOVED":                    "",
		"ASK 3999 10.0.0.2:6381":   "",
		"ERR no":                   "",
	} {
		if got := movedTo(redis.Error(text), "10.0.0.1:6379"); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// The nodes that were named are gone, but not the one that has the log.
func TestClusterNodesGone(t *testing.T) {
	t.Parallel()
	owner := start(t)
	f := newFake(t, func(string) string { return "-MOVED 1 " + owner.addr + "\r\n" })
	l := linkTo(t, engine{addresses: []string{f.addr}, cluster: true})
	works := func() bool {
		got, err := redis.String(l.do(t.Context(), "ECHO", "x"))
		return err == nil && got == "x"
	}
	if !works() {
		t.Fatal("the owner is not found")
	}
	f.stop()
	owner.Kill(t)
	if works() {
		t.Error("a dead server answers")
	}
	owner.Start(t)
	brokertest.Eventually(t, "the owner is found again", works)
}

// The log moves from one node of the cluster to another while it is used.
func TestClusterMovesSlot(t *testing.T) {
	t.Parallel()
	nodes := clusterNodes(t)
	b, err := Open("h", Options{URL: nodes[0].url(), Addresses: []string{nodes[1].addr, nodes[2].addr}, Cluster: true})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	tail := started(t, b, 0)
	store(t, b, "1")
	slot := fmt.Sprint(nodes[0].do(t, "CLUSTER", "KEYSLOT", b.keys.log))
	id := func(s *server) string {
		id, err := redis.String(s.do(t, "CLUSTER", "MYID"), nil)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	keys := func(s *server) []string {
		keys, err := redis.Strings(s.do(t, "CLUSTER", "GETKEYSINSLOT", slot, "100"), nil)
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	from := slices.IndexFunc(nodes, func(s *server) bool { return len(keys(s)) > 0 })
	src, dst := nodes[from], nodes[(from+1)%3]
	dst.do(t, "CLUSTER", "SETSLOT", slot, "IMPORTING", id(src))
	src.do(t, "CLUSTER", "SETSLOT", slot, "MIGRATING", id(dst))
	src.do(t, append([]string{"MIGRATE", "127.0.0.1", dst.port, "", "0", "5000", "KEYS"}, keys(src)...)...)
	if r := try(t, b, minBackoff, event("x")); r.Err == nil {
		t.Error("stored in the middle of it")
	}
	for _, s := range []*server{dst, src} {
		s.do(t, "CLUSTER", "SETSLOT", slot, "NODE", id(dst))
	}
	store(t, b, "2")
	brokertest.Eventually(t, "what comes next", func() bool { return strings.HasSuffix(tail.texts(), "2") })
	if got := tail.texts(); got != "1 2" {
		t.Errorf("got %q", got)
	}
	other, err := Open("h", Options{URL: src.url(), Cluster: true})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if got := standing(t, other, tail.all()[0].Position); got != broker.Exact {
		t.Errorf("what was stored before stands %d", got)
	}
}

// The Sentinels name another master. The old one, which is cut off from them, does not know that.
func TestSentinelMovesOn(t *testing.T) {
	t.Parallel()
	first, second := start(t), start(t)
	first.do(t, "SET", "me", "first")
	second.do(t, "SET", "me", "second")
	replica := start(t, "--replicaof", "127.0.0.1", first.port)
	brokertest.Eventually(t, "there is a replica", func() bool {
		role, err := redis.Values(replica.do(t, "ROLE"), nil)
		return err == nil && fmt.Sprintf("%s", role[0]) == "slave"
	})
	var master atomic.Pointer[server]
	f := newFake(t, func(command string) string {
		s := master.Load()
		if command != "SENTINEL get-master-addr-by-name mine" {
			return "-ERR " + command + "\r\n"
		} else if s == nil {
			return "*-1\r\n"
		}
		return fmt.Sprintf("*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%s\r\n", len(s.port), s.port)
	})
	away := "127.0.0.1:" + freePort(t) // the first of the Sentinels is down
	l := linkTo(t, engine{addresses: []string{away, f.addr}, sentinel: "mine"})
	fails := func(want string) {
		t.Helper()
		brokertest.Eventually(t, want, func() bool {
			_, err := l.do(t.Context(), "GET", "me")
			return unsent(err) && strings.Contains(err.Error(), want)
		})
	}
	who := func(want string) {
		t.Helper()
		brokertest.Eventually(t, want, func() bool {
			got, err := redis.String(l.do(t.Context(), "GET", "me"))
			return err == nil && got == want
		})
	}
	fails(`it knows no master "mine"`)
	master.Store(replica)
	fails("it is not a master")
	master.Store(first)
	who("first")
	master.Store(second)
	who("second")
}

// An address leads to another server meanwhile.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	s := start(t)
	b := s.node(t)
	store(t, b, "1")
	wire := func() *wire {
		b.main.mu.Lock()
		defer b.main.mu.Unlock()
		return b.main.wire
	}
	was := wire()
	s.do(t, "REPLICAOF", "127.0.0.1", freePort(t))
	if r := try(t, b, minBackoff, event("2")); r.Err == nil {
		t.Error("a replica has stored it")
	}
	s.do(t, "REPLICAOF", "NO", "ONE")
	store(t, b, "3")
	if wire() == was {
		t.Error("it is the same connection")
	}
}

// The commands listed in the package's documentation are enough.
func TestACL(t *testing.T) {
	t.Parallel()
	const scripts = "TIME LINDEX RPUSH XLEN XINFO SET GET XADD XRANGE XREVRANGE LRANGE LTRIM XTRIM DEL SREM HDEL HSET PEXPIRE SADD"
	const own = "EVAL EVALSHA EXISTS XREAD SMEMBERS HGETALL HMGET SELECT"
	rules := []string{"--user", "push", "on", ">p", "~sse:*", "-@all"}
	for _, c := range strings.Fields(scripts + " " + own) {
		rules = append(rules, "+"+strings.ToLower(c))
	}
	s := start(t, rules...)
	works(t, func() *Broker {
		return s.node(t, func(o *Options) { o.URL = "redis://push:p@" + s.addr + "/1" })
	})
}

// A connection that is being made ends with the broker.
func TestCloseWhileConnecting(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // no connection is accepted or answered
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	link := newLink(engine{network: "tcp", addresses: []string{l.Addr().String()}, probe: "k"})
	ctx, cancel := context.WithTimeout(t.Context(), minBackoff)
	defer cancel()
	if _, err := link.do(ctx, "ECHO", "x"); !unsent(err) {
		t.Errorf("got %v", err)
	}
	link.close()
}
