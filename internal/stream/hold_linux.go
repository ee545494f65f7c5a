package stream

import (
	"crypto/tls"
	"net"
	"net/http"
	"syscall"

	"golang.org/x/sys/unix"
)

// Hold takes over the connection of an HTTP/1 request without a body, plain or with TLS, and reports whether it
// did: then the handler returns at once, and w is not to be used any more. Otherwise nothing has been done to either, and
// the error says what failed, if anything did. conn is the request's connection, w's headers are set.
func Hold(w http.ResponseWriter, r *http.Request, conn net.Conn, src Source, t *Timing) (bool, error) {
	secure, _ := conn.(*tls.Conn)
	if secure != nil {
		conn = secure.NetConn()
	}
	tcp, ok := tcpOf(conn)
	if !ok || r.ProtoMajor != 1 || r.ContentLength != 0 {
		return false, nil
	}
	inner, ok := innermost(w).(http.Hijacker)
	if !ok {
		return false, nil
	}
	// First of all, as it fails where descriptors are used up: on its goroutine, a stream needs no other.
	p, err := thePoller()
	if err != nil {
		return false, err
	}
	fd, err := take(tcp, secure == nil)
	if err != nil {
		return false, err
	}
	hijacked, err := commit(w, inner)
	if err != nil {
		if secure == nil {
			_ = unix.Close(fd)
		}
		src.Close(err)
		return true, nil
	}
	if secure == nil {
		_ = hijacked.Close()
	}
	p.hold(fd, secure, r.ProtoAtLeast(1, 1), src, t)
	return true, nil
}

// tcpOf returns what a connection reads from and writes to. A listener wrapper that has only read something ahead of the
// first byte, as proxy_protocol does, names it.
func tcpOf(conn net.Conn) (*net.TCPConn, bool) {
	switch c := conn.(type) {
	case *net.TCPConn:
		return c, true
	case interface{ TCPConn() (*net.TCPConn, bool) }:
		return c.TCPConn()
	}
	return nil, false
}

// commit sends the headers, and takes the connection.
func commit(w http.ResponseWriter, inner http.Hijacker) (net.Conn, error) {
	// It does not come back to the server: a client that sent its next request on it would be cut off.
	w.Header().Set("Connection", "close")
	// Through the wrappers, so that the headers and the status are as everybody in between wants them.
	w.WriteHeader(http.StatusOK)
	if err := http.NewResponseController(w).Flush(); err != nil {
		return nil, err
	}
	// The innermost one, as a connection taken from a wrapper would keep all of them in memory.
	conn, _, err := inner.Hijack()
	return conn, err
}

// take returns a connection's descriptor, or a duplicate of it: that stays when Go's own connection is closed,
// and costs no memory of Go's.
func take(conn syscall.Conn, duplicate bool) (fd int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	if e := raw.Control(func(own uintptr) {
		if fd = int(own); duplicate {
			fd, err = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0)
		}
	}); e != nil {
		return 0, e
	}
	return fd, err
}
