package stream

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sse-push/caddy-sse-push/internal/transport"
)

const (
	// sendBuffer bounds what the kernel keeps for a client that does not read; the kernel doubles it. A socket counts as writable
	// only if a third of it is free, which is room for the TLS record of maxBatch bytes that a worker writes.
	sendBuffer = 64 << 10
	// notSent is how many bytes may wait to be sent before a socket counts as full that no worker writes to.
	notSent = 16 << 10
)

// limitSocket bounds what the kernel keeps for a held connection.
func limitSocket(fd int, lowWater bool) {
	set := func(level, name, value int) {
		_ = unix.SetsockoptInt(fd, level, name, value) // an error is ignored: streams work without the limit
	}
	set(unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer)
	if lowWater {
		set(unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSent)
	}
}

// limitSecure does the same for a connection whose TLS does not wait.
func limitSecure(conn syscall.Conn) {
	if c, err := conn.SyscallConn(); err == nil {
		_ = c.Control(func(fd uintptr) { limitSocket(int(fd), true) })
	}
}

// limitKernel sets how long the kernel waits for a client that does not answer.
func limitKernel(fd int, ms uint32) {
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(ms)) // as above
}

// userTimeout returns a duration in the unit and the range of TCP_USER_TIMEOUT.
func userTimeout(d time.Duration) uint32 { return uint32(min(d.Milliseconds(), 1<<31-1)) }

// limitShared bounds what the kernel keeps unsent for a connection that is not held, and that several streams may share over
// HTTP/2. It does not bound what is on its way, which may be as much as the network can take.
func limitShared(conn net.Conn) {
	setShared(conn, unix.TCP_NOTSENT_LOWAT, sendBuffer)
}

// limitSharedKernel does what limitKernel does for a connection that is not held. If streams share it, the last one to set the
// limit decides.
func limitSharedKernel(conn net.Conn, d time.Duration) {
	setShared(conn, unix.TCP_USER_TIMEOUT, int(userTimeout(d)))
}

// setShared sets a TCP option on a connection, whatever wraps it. If there is no TCP connection below or the option cannot be set,
// nothing changes: streams work without these limits.
func setShared(conn net.Conn, name, value int) {
	if conn == nil {
		return
	}
	if c, ok := carrier(conn).(syscall.Conn); ok {
		setRaw(c, name, value)
		return
	}
	for {
		if raw, ok := conn.(syscall.Conn); ok {
			setRaw(raw, name, value)
			return
		}
		if tcp, ok := transport.TCP(conn); ok {
			conn = tcp
			continue
		}
		wrapper, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			return
		}
		conn = wrapper.NetConn()
	}
}

func setRaw(conn syscall.Conn, name, value int) {
	if c, err := conn.SyscallConn(); err == nil {
		_ = c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, name, value) })
	}
}
