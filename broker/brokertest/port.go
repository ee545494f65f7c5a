package brokertest

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

// ports holds the ports that Port has returned.
var ports sync.Map

// Port returns a free port of 127.0.0.1 for a server, below those that the system uses for the near ends of connections. While
// a server is killed, clients try many connections, and one of those could take the server's port, or even connect to itself.
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
