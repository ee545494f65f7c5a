package harness

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// Eventually waits until a condition holds, and fails the test if it does not come to.
func Eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	if !within(Patience, condition) {
		t.Fatalf("waited %v in vain: %s", Patience, what)
	}
}

// EventuallyEqual waits until get returns want.
func EventuallyEqual[T comparable](t testing.TB, what string, want T, get func() T) {
	t.Helper()
	var got T
	if !within(Patience, func() bool { got = get(); return got == want }) {
		t.Fatalf("%s: got %v, want %v, for %v", what, got, want, Patience)
	}
}

func within(limit time.Duration, condition func() bool) bool {
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		if time.Now().After(deadline) {
			return false
		}
		<-tick.C
	}
	return true
}

var (
	portsMu sync.Mutex // guards ports
	ports   = map[int]bool{}
)

// Port is free on 127.0.0.1, and given out once. It lies below those that the system takes for outgoing connections.
func Port(t testing.TB) string {
	t.Helper()
	portsMu.Lock()
	defer portsMu.Unlock()
	for range 1000 {
		port := 10000 + rand.IntN(22000)
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
