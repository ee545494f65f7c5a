package stream

import (
	"crypto/tls"
	"net"
	"net/http"
	"syscall"

	"golang.org/x/sys/unix"
)

// Hold takes over the connection of an HTTP/1 request without a body, plain or with TLS, and reports whether it
// did: then the handler returns at once, and w is not to be used any more. conn is the request's connection, w's
// headers are set.
func Hold(w http.ResponseWriter, r *http.Request, conn net.Conn, src Source, o Options) bool {
	secure, _ := conn.(*tls.Conn)
	if secure != nil {
		conn = secure.NetConn()
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok || r.ProtoMajor != 1 || r.ContentLength != 0 {
		return false
	}
	inner, ok := innermost(w).(http.Hijacker)
	if !ok {
		return false
	}
	// Through the wrappers, so that the headers and the status are as everybody in between wants them.
	w.WriteHeader(http.StatusOK)
	if err := http.NewResponseController(w).Flush(); err != nil {
		src.Close(err)
		return true
	}
	// The innermost one, as a connection taken from a wrapper would keep all of them in memory.
	hijacked, _, err := inner.Hijack()
	if err != nil {
		src.Close(err)
		return true
	}
	fd, err := take(tcp, secure == nil)
	if err == nil {
		err = hold(fd, secure, r.ProtoAtLeast(1, 1), src, o)
	}
	if secure == nil || err != nil {
		_ = hijacked.Close()
	}
	if err != nil {
		src.Close(err)
	}
	return true
}

func innermost(w http.ResponseWriter) http.ResponseWriter {
	for {
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		w = u.Unwrap()
	}
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
