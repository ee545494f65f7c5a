package redisbroker

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/sse-push/caddy-sse-push/broker"
	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

// server is a redis-server of the test's own.
type server struct {
	dir, addr, port string
	args            []string
	cmd             *exec.Cmd
}

func freePort(t testing.TB) string { return strconv.Itoa(brokertest.Port(t)) }

// start starts a redis-server with a port of its own.
func start(t testing.TB, args ...string) *server {
	t.Helper()
	port := freePort(t)
	s := &server{dir: t.TempDir(), port: port, addr: "127.0.0.1:" + port, args: args}
	s.Start(t)
	t.Cleanup(func() { s.Kill(t) })
	return s
}

// Start implements brokertest.Engine.
func (s *server) Start(t testing.TB) {
	t.Helper()
	s.run(t, append([]string{
		"--port", s.port, "--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--appendonly", "yes", "--loglevel", "warning",
		// With everysec, Redis holds writes back while a sync is slow, and a kill loses them.
		"--appendfsync", "no",
	}, s.args...)...)
}

// run starts the process, and waits until it answers.
func (s *server) run(t testing.TB, args ...string) {
	t.Helper()
	s.cmd = exec.Command("redis-server", args...)
	s.cmd.Stderr = os.Stderr
	endsWithUs(s.cmd)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	brokertest.Eventually(t, "redis-server answers: "+s.addr, func() bool {
		if c, err := net.Dial("tcp", s.addr); err == nil {
			c.Write([]byte("INFO persistence\r\n"))
			b := make([]byte, 512)
			n, _ := c.Read(b)
			c.Close()
			if n > 0 && !bytes.HasPrefix(b, []byte("-LOADING")) && !bytes.Contains(b[:n], []byte("\nloading:1")) {
				return true
			}
		}
		return false
	})
}

// Kill implements brokertest.Engine.
func (s *server) Kill(t testing.TB) {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

// Freeze implements brokertest.Engine.
func (s *server) Freeze(t testing.TB) { s.control(t, brokertest.Pause) }

// Thaw implements brokertest.Engine.
func (s *server) Thaw(t testing.TB) { s.control(t, brokertest.Resume) }

func (s *server) control(t testing.TB, action func(*os.Process) error) {
	if err := action(s.cmd.Process); err != nil {
		t.Fatal(err)
	}
}

// Snapshot implements brokertest.Engine.
func (s *server) Snapshot(t testing.TB) func() {
	kept := t.TempDir()
	if err := os.CopyFS(filepath.Join(kept, "data"), os.DirFS(s.dir)); err != nil {
		t.Fatal(err)
	}
	return func() {
		s.Kill(t)
		s.clear(t)
		if err := os.CopyFS(s.dir, os.DirFS(filepath.Join(kept, "data"))); err != nil {
			t.Fatal(err)
		}
		s.Start(t)
	}
}

// Empty implements brokertest.Engine.
func (s *server) Empty(t testing.TB) {
	s.Kill(t)
	s.clear(t)
	s.Start(t)
}

func (s *server) clear(t testing.TB) {
	names, err := filepath.Glob(filepath.Join(s.dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if err := os.RemoveAll(n); err != nil {
			t.Fatal(err)
		}
	}
}

// do sends a command as an operator would.
func (s *server) do(t testing.TB, args ...string) any {
	t.Helper()
	return do(t, s.addr, args...)
}

func do(t testing.TB, addr string, args ...string) any {
	t.Helper()
	c, err := redis.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m, err := c.Do(args[0], redis.Args{}.AddFlat(args[1:])...)
	if err != nil {
		t.Fatalf("%.200q: %v", args, err)
	}
	return m
}

func (s *server) url() string { return "redis://" + s.addr }

// trim trims as the broker's own retention does, but to the entry.
func (s *server) trim(t testing.TB, keep int) {
	s.do(t, "XTRIM", keysOf("h").log, "MAXLEN", strconv.Itoa(keep))
}

// node opens the hub h's log.
func (s *server) node(t testing.TB, change ...func(*Options)) *Broker {
	t.Helper()
	o := Options{URL: s.url()}
	for _, c := range change {
		c(&o)
	}
	b, err := Open("h", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func event(data string) broker.Record {
	return broker.Record{Targets: []broker.Target{{Kind: broker.Topic, Name: "t"}}, Data: []byte(data)}
}

// store appends one event.
func store(t testing.TB, b broker.Broker, data string) broker.Position {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r := b.Append(ctx, []broker.Record{event(data)})[0]
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	return r.Position
}
