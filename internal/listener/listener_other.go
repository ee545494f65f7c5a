//go:build !linux

package listener

import "net"

// Wrap returns ln: the transport needs epoll.
func Wrap(ln net.Listener, _ Config) net.Listener { return ln }
