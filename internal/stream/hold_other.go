//go:build !linux

package stream

import (
	"net"
	"net/http"
	"time"
)

// Hold takes over a connection on systems with epoll. On others, every stream stays on its handler's goroutine.
func Hold(http.ResponseWriter, *http.Request, net.Conn, Source, *Timing) (bool, error) {
	return false, nil
}

func limitShared(net.Conn) {}

func limitSharedKernel(net.Conn, time.Duration) {}
