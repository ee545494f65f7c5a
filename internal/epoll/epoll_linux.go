// Package epoll reports events of sockets without a thread or a goroutine for each.
package epoll

import (
	"os"

	"golang.org/x/sys/unix"
)

// Set is a set of sockets whose events are reported.
type Set struct{ fd int }

// Open returns a set that calls seen with each event, one at a time. It is never closed.
func Open(seen func(unix.EpollEvent)) (*Set, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	// The runtime polls the epoll's own descriptor, so that waiting for it takes no thread.
	file, err := os.NewFile(uintptr(fd), "epoll").SyscallConn()
	if err != nil {
		return nil, err
	}
	go func() {
		var events [256]unix.EpollEvent
		_ = file.Read(func(fd uintptr) bool {
			for {
				n, err := unix.EpollWait(int(fd), events[:], 0)
				if n <= 0 || err != nil {
					return false // wait until there is something, and call again
				}
				for _, e := range events[:n] {
					seen(e)
				}
			}
		})
	}()
	return &Set{fd}, nil
}

// Add has the set report events of a socket. What it reports carries fd and pad, which need not be the socket's.
func (s *Set) Add(socket int, events uint32, fd, pad int32) error {
	return s.control(unix.EPOLL_CTL_ADD, socket, events, fd, pad)
}

// Change replaces what Add was called with.
func (s *Set) Change(socket int, events uint32, fd, pad int32) error {
	return s.control(unix.EPOLL_CTL_MOD, socket, events, fd, pad)
}

func (s *Set) control(op, socket int, events uint32, fd, pad int32) error {
	e := unix.EpollEvent{Events: events, Fd: fd, Pad: pad}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(s.fd, op, socket, &e))
}

// Remove ends the reports of a socket that may stay open for a while.
func (s *Set) Remove(socket int) {
	_ = unix.EpollCtl(s.fd, unix.EPOLL_CTL_DEL, socket, nil) // it fails if the socket was not added or is closed
}
