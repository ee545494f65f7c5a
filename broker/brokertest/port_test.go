package brokertest_test

import (
	"net"
	"strconv"
	"testing"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

// Each port is free and comes once.
func TestPort(t *testing.T) {
	seen := map[int]bool{}
	for range 60 {
		port := brokertest.Port(t)
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
		if seen[port] || port >= 32_768 {
			t.Errorf("port %d: a second time %t", port, seen[port])
		}
		seen[port] = true
	}
}
