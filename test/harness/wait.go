package harness

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

// EventuallyEqual waits until get returns want.
func EventuallyEqual[T comparable](t testing.TB, what string, want T, get func() T) {
	t.Helper()
	var got T
	if !brokertest.Until(func() bool { got = get(); return got == want }) {
		t.Fatalf("%s: got %v, want %v, to the end", what, got, want)
	}
}

var (
	portsMu sync.Mutex // guards ports
	ports   = map[int]bool{}
)

// Port returns a port that is free on 127.0.0.1, each once. It lies below those that the system takes for outgoing connections,
// and above those of brokertest, whose suites may run at the same time.
func Port(t testing.TB) string {
	t.Helper()
	portsMu.Lock()
	defer portsMu.Unlock()
	for range 1000 {
		port := 30_000 + rand.IntN(2_700)
		if ports[port] || !PortIsFree(fmt.Sprint(port)) {
			continue
		}
		ports[port] = true
		return fmt.Sprint(port)
	}
	t.Fatal("no free port")
	return ""
}

// PortIsFree reports whether nobody listens on a port of 127.0.0.1.
func PortIsFree(port string) bool {
	l, err := net.Listen("tcp4", "127.0.0.1:"+port)
	if err != nil {
		return false
	}
	l.Close()
	return true
}

func accepts(network, address string) bool {
	conn, err := net.DialTimeout(network, address, time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
