//go:build !linux

package stream

import (
	"net"
	"net/http"
	"time"
)

// Hold takes a connection over where the system has epoll; here, every stream stays on its goroutine.
func Hold(http.ResponseWriter, *http.Request, net.Conn, Source, *Timing) (bool, error) {
	return false, nil
}

func limitShared(net.Conn) {}

func limitSharedKernel(net.Conn, time.Duration) {}
