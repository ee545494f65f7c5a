package stream

import (
	"net/http"
	"syscall"

	"github.com/sse-push/caddy-sse-push/internal/transport"
)

// secure is the outlet of a stream that has a connection of its own whose TLS does not wait.
type secure struct {
	conn   *transport.Conn
	handle Handle
}

// holdSecure is Hold for such a connection.
func holdSecure(w http.ResponseWriter, r *http.Request, conn *transport.Conn, src Source, t *Timing) (bool, error) {
	inner, ok := Innermost(w).(hijackable)
	if !ok {
		return false, nil
	}
	o := &secure{conn: conn}
	var err error
	if o.handle, err = adopt(o, r.ProtoAtLeast(1, 1), src, t); err != nil {
		return false, err
	}
	if err := commit(w, inner, o.handle.held.begin); err != nil {
		o.handle.Left(err)
		return true, nil
	}
	limitSecure(conn)
	conn.Watch(o)
	if err := conn.AwaitHangup(); err != nil {
		o.Gone(err)
		return true, nil
	}
	o.handle.Room()
	return true, nil
}

// Write encrypts batches until the socket is full.
func (o *secure) Write(b []byte) (written int, err error) {
	for o.conn.Queued() == 0 {
		if len(b) == 0 || err != nil {
			return written, err
		}
		var n int
		n, err = o.conn.Write(b[:min(len(b), maxBatch)])
		written, b = written+n, b[n:]
	}
	return written, syscall.EAGAIN
}

// End closes the connection. What it has not sent has a little more time if the source has ended.
func (o *secure) End(reason error) {
	if reason == nil {
		o.conn.Finish(lastChance)
	} else {
		_ = o.conn.Close()
	}
}

// SyscallConn returns the raw connection, to set options of its socket.
func (o *secure) SyscallConn() (syscall.RawConn, error) { return o.conn.SyscallConn() }

// Readable does nothing: what the client sends stays in the socket.
func (o *secure) Readable() {}

// Writable implements transport.Watcher.
func (o *secure) Writable() { o.handle.Room() }

// Gone implements transport.Watcher.
func (o *secure) Gone(reason error) {
	_ = o.conn.Close()
	o.handle.Left(reason)
}
