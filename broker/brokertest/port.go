package brokertest

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

// The ports that tests may use lie in blocks, below those that the system uses for the near ends of connections. While a server
// is killed, clients try many connections, and one of those could take the server's port, or even connect to itself.
const (
	firstPort  = 10_000
	blocks     = 45
	blockPorts = 500
)

// ports are those that Port is yet to return.
var ports struct {
	mu   sync.Mutex     // guards all below
	left []int          // of the blocks that are held
	held []net.Listener // at the first port of each, so that no other process takes from the block
}

// Port returns a free port of 127.0.0.1 for a server, each once. No other process that tests gets it, so that the server can be
// killed and started again.
func Port(t testing.TB) int {
	t.Helper()
	ports.mu.Lock()
	defer ports.mu.Unlock()
	for len(ports.left) > 0 || takeBlock() {
		port := ports.left[0]
		ports.left = ports.left[1:]
		if l := listen(port); l != nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// takeBlock takes a block that no process holds, for as long as this one lives. It reports whether there is one. The caller holds
// ports.mu.
func takeBlock() bool {
	for _, i := range rand.Perm(blocks) {
		first := firstPort + i*blockPorts
		if l := listen(first); l != nil {
			ports.held = append(ports.held, l)
			for _, n := range rand.Perm(blockPorts - 1) {
				ports.left = append(ports.left, first+1+n)
			}
			return true
		}
	}
	return false
}

// listen listens at a port of 127.0.0.1. It returns nil if another does.
func listen(port int) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return nil
	}
	return l
}
