package brokertest

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

// ports are those that have been given out.
var ports sync.Map

// Port returns a port of 127.0.0.1 for a server: one that nobody listens on, nor gets as the near end of a connection. While a
// server is killed, many connections are tried, and one of them could take its place, or even connect to itself.
func Port(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := 10_000 + rand.IntN(20_000)
		if _, given := ports.LoadOrStore(port, true); given {
			continue
		}
		if l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port)); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}
