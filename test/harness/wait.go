package harness

import (
	"net"
	"strconv"
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

// Port is brokertest.Port as text.
func Port(t testing.TB) string {
	t.Helper()
	return strconv.Itoa(brokertest.Port(t))
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
