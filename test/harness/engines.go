package harness

import (
	"net"
	"os/exec"
	"testing"
	"time"
)

// StartRedis runs a redis-server that keeps its data in dir, and returns once it listens.
func StartRedis(t testing.TB, dir, port string) *Process {
	t.Helper()
	return startEngine(t, port, "redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", "",
		"--appendonly", "yes", "--appendfsync", "always")
}

// StartNATS runs a nats-server with JetStream that keeps its data in dir, and returns once it listens.
func StartNATS(t testing.TB, dir, port string) *Process {
	t.Helper()
	return startEngine(t, port, "nats-server", "-js", "-sd", dir, "-a", "127.0.0.1", "-p", port)
}

func startEngine(t testing.TB, port, name string, args ...string) *Process {
	t.Helper()
	p := Start(t, name, exec.Command(Program(t, name), args...))
	p.eventually(t, name+" listens", func() bool {
		conn, err := net.DialTimeout("tcp4", "127.0.0.1:"+port, time.Second)
		if err != nil {
			return false
		}
		_ = conn.Close()
		return true
	})
	return p
}
