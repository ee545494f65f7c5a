//go:build !linux

package stream

import (
	"errors"
	"net"
	"net/http"
	"time"
)

// Hold takes over a connection on systems with epoll. On others, every stream stays on its handler's goroutine.
func Hold(http.ResponseWriter, *http.Request, net.Conn, Source, *Timing) (bool, error) {
	return false, nil
}

// Adopt fails, as it needs the loops of systems with epoll.
func Adopt(Outlet, Source, *Timing) (Handle, error) { return Handle{}, errors.ErrUnsupported }

// Handle is what an outlet tells its stream by.
type Handle struct{}

// Room does nothing.
func (Handle) Room() {}

// Left does nothing.
func (Handle) Left(error) {}

func limitShared(net.Conn) {}

func limitSharedKernel(net.Conn, time.Duration) {}
