package stream

import (
	"crypto/tls"
	"net"
	"net/http"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sse-push/caddy-sse-push/internal/transport"
)

// Hold takes over a stream of HTTP/2 or HTTP/3, or the connection of an HTTP/1 request without a body, plain or with TLS, and reports
// whether it did. If so, the handler must return at once and no longer use w. If not, Hold has done no more than send the headers, and
// the error says what failed, if anything did. conn is the request's connection, or nil over HTTP/3; w's headers are set.
func Hold(w http.ResponseWriter, r *http.Request, conn net.Conn, src Source, t *Timing) (bool, error) {
	if r.ProtoMajor == 3 {
		return holdHTTP3(w, src, t)
	}
	switch c := carrier(conn).(type) {
	case Splitter:
		if r.ProtoMajor == 2 {
			limitShared(conn)
			return c.Hold(w, r, src, t)
		}
	case *transport.Conn:
		if r.ProtoMajor == 1 && r.ContentLength == 0 {
			return holdSecure(w, r, c, src, t)
		}
	}
	secure, _ := conn.(*tls.Conn)
	if secure != nil {
		conn = secure.NetConn()
	}
	tcp, ok := transport.TCP(conn)
	if !ok || r.ProtoMajor != 1 || r.ContentLength != 0 {
		return false, nil
	}
	inner, ok := Innermost(w).(hijackable)
	if !ok {
		return false, nil
	}
	// First of all, as this fails if no descriptor is left. A stream on its handler's goroutine needs no further one.
	p, err := thePoller()
	if err != nil {
		return false, err
	}
	fd, err := take(tcp, secure == nil)
	if err != nil {
		return false, err
	}
	s := p.assign(&held{pipe: pipe{src: src, fd: int32(fd), chunked: r.ProtoAtLeast(1, 1)}, timing: t})
	if secure == nil {
		err = detach(w, inner, conn, s.begin)
	} else {
		err = commit(w, inner, s.begin)
	}
	if err != nil {
		if secure == nil {
			_ = unix.Close(fd)
		}
		src.Close(err)
		return true, nil
	}
	p.hold(s, secure)
	return true, nil
}

// hijackable is the innermost response writer of a connection that can be taken over.
type hijackable interface {
	http.ResponseWriter
	http.Hijacker
}

// commit sends the headers, with what begin writes after them, and hijacks the connection.
func commit(w http.ResponseWriter, inner hijackable, begin func(http.ResponseWriter) error) error {
	if err := send(w, inner, begin); err != nil {
		return err
	}
	// From the innermost writer: a connection hijacked through wrappers would keep all of them in memory.
	_, _, err := inner.Hijack()
	return err
}

// detach is commit for a connection whose descriptor was duplicated. It closes net/http's end, so that nothing more is written there,
// not even the end of the response. net/http then puts its buffers of 8 KiB back into its pools, which hijacked connections do not.
func detach(w http.ResponseWriter, inner hijackable, conn net.Conn, begin func(http.ResponseWriter) error) error {
	if err := send(w, inner, begin); err != nil {
		return err
	}
	_ = conn.Close() // the socket stays open, as there is the duplicate
	return nil
}

// send sends the headers, with what begin writes after them.
func send(w http.ResponseWriter, inner http.ResponseWriter, begin func(http.ResponseWriter) error) error {
	// The connection does not return to the server: a client that sent its next request on it would be cut off.
	w.Header().Set("Connection", "close")
	// Through the wrappers, so that each of them can change the headers and the status.
	w.WriteHeader(http.StatusOK)
	if passesOn(w) {
		if err := begin(inner); err != nil {
			return err
		}
	}
	if err := http.NewResponseController(w).Flush(); err != nil {
		return err
	}
	return http.NewResponseController(inner).Flush() // in case a wrapper's flush does nothing
}

// maxFirst is how many bytes of frames may go out with the headers. net/http writes none of them before the flush, to which a wrapper
// gives a deadline.
const maxFirst = 2 << 10

// begin writes the first frames to net/http's buffer, after the headers: that saves a packet for each client.
func (s *held) begin(inner http.ResponseWriter) error {
	frames, _ := s.src.Next(nil, maxFirst) // it reports the end again
	size := 0
	for _, f := range frames {
		size += len(f)
	}
	if size > maxFirst {
		var w writer
		w.encode(frames, s.chunked)
		s.backlog = &w.out
		return nil
	}
	for _, f := range frames {
		if _, err := inner.Write(f); err != nil {
			return err
		}
	}
	return nil
}

// take returns a connection's descriptor or a duplicate of it. The duplicate stays open when Go's own connection is closed, and
// costs none of Go's memory.
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
