package transport

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"syscall"
	"time"
)

// Conn is a connection with TLS whose writes do not wait. Any goroutine may call its methods, but only one at a time may read.
type Conn struct {
	tls    *tls.Conn
	socket socket
}

// ErrNoTCP is returned for a connection that has no TCP connection below.
var ErrNoTCP = errors.New("not a TCP connection")

// Server returns the server's side of a connection, before its handshake. If it fails, it has not touched conn.
func Server(conn net.Conn, config *tls.Config) (*Conn, error) {
	tcp, ok := TCP(conn)
	if !ok {
		return nil, ErrNoTCP
	}
	p, err := thePoller()
	if err != nil {
		return nil, err
	}
	c := new(Conn)
	if err := c.socket.init(conn, tcp, p); err != nil {
		return nil, err
	}
	c.tls = tls.Server(&c.socket, config)
	return c, nil
}

// TCP returns the TCP connection that a connection reads from and writes to. A listener wrapper that only reads something ahead of the
// first byte, as that of proxy_protocol does, has a method TCPConn that returns it.
func TCP(conn net.Conn) (*net.TCPConn, bool) {
	switch c := conn.(type) {
	case *net.TCPConn:
		return c, true
	case interface{ TCPConn() (*net.TCPConn, bool) }:
		return c.TCPConn()
	}
	return nil, false
}

// Handshake runs the handshake. If the client is silent for longer than timeout, it fails; 0 means no limit.
func (c *Conn) Handshake(ctx context.Context, timeout time.Duration) error {
	if timeout > 0 {
		if err := c.socket.SetDeadline(time.Now().Add(timeout)); err != nil {
			return err
		}
	}
	if err := c.tls.HandshakeContext(ctx); err != nil {
		return err
	}
	if err := c.socket.settle(); err != nil {
		return err
	}
	return c.socket.SetDeadline(time.Time{})
}

// TLS returns the connection's TLS, for a handshake that has failed: a server finds the error in it.
func (c *Conn) TLS() *tls.Conn { return c.tls }

// ConnectionState returns what the handshake has settled.
func (c *Conn) ConnectionState() tls.ConnectionState { return c.tls.ConnectionState() }

// Read waits for bytes.
func (c *Conn) Read(b []byte) (int, error) {
	c.socket.try = false
	return c.tls.Read(b)
}

// TryRead returns syscall.EAGAIN if there is nothing to read. As TLS may hold whole records, nothing else means that.
func (c *Conn) TryRead(b []byte) (int, error) {
	c.socket.try = true
	return c.tls.Read(b)
}

// maxWhole is how many bytes crypto/tls always puts into one record.
const maxWhole = 1 << 10

// Write encrypts b and sends what the socket takes. The rest is queued. If the queue would exceed MaxQueue, the connection fails.
func (c *Conn) Write(b []byte) (int, error) {
	if len(b) <= maxWhole {
		return c.tls.Write(b)
	}
	c.socket.gather() // crypto/tls writes each record for itself
	n, err := c.tls.Write(b)
	return n, cmp.Or(err, c.socket.flush())
}

// Queued returns how many bytes the socket has not taken.
func (c *Conn) Queued() int { return c.socket.queued() }

// Drain waits until no more than most bytes are queued. Only one goroutine at a time may call it.
func (c *Conn) Drain(most int) error { return c.socket.drain(most) }

// Watch sets what is told of the connection from now on; the watcher before it may still hear of what is being reported.
func (c *Conn) Watch(w Watcher) { c.socket.watch(w) }

// AwaitRead makes the epoll report once that there is something to read. The reader calls it after TryRead has returned EAGAIN.
func (c *Conn) AwaitRead() error {
	release(c.tls)
	return c.socket.await(bytesToRead)
}

// AwaitHangup makes the epoll report when the client leaves. What the client sends before that stays in the socket. The reader calls it.
func (c *Conn) AwaitHangup() error {
	release(c.tls)
	return c.socket.await(hangup)
}

// Close tells the client that nothing more will come, if the socket has room, and closes the connection. It does not wait.
func (c *Conn) Close() error { return c.tls.Close() }

// Finish closes the connection as soon as all that is queued was sent, and after wait at the latest. It does not wait itself.
func (c *Conn) Finish(wait time.Duration) {
	_ = c.tls.CloseWrite() // queues the alert that ends a TLS connection
	if c.socket.finish() {
		time.AfterFunc(wait, func() { _ = c.Close() })
		return
	}
	_ = c.Close()
}

// LocalAddr returns the address that the client connected to.
func (c *Conn) LocalAddr() net.Addr { return c.socket.LocalAddr() }

// RemoteAddr returns the client's address. Through any wrappers, its method Carrier returns the connection.
func (c *Conn) RemoteAddr() net.Addr { return (*addr)(c) }

// SetDeadline sets the deadlines of Read and Drain.
func (c *Conn) SetDeadline(t time.Time) error { return c.socket.SetDeadline(t) }

// SetReadDeadline sets the deadline of Read. After it has passed, the connection can still be read from.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.socket.SetReadDeadline(t) }

// SetWriteDeadline sets the deadline of Drain.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.socket.SetWriteDeadline(t) }

// SyscallConn returns the raw TCP connection, to set options of its socket.
func (c *Conn) SyscallConn() (syscall.RawConn, error) { return c.socket.tcp.SyscallConn() }

// addr is a connection as its client's address.
type addr Conn

func (a *addr) Network() string { return a.socket.under.RemoteAddr().Network() }
func (a *addr) String() string  { return a.socket.under.RemoteAddr().String() }

// Carrier returns the connection. Wrappers of a net.Conn hide its methods, but not its address.
func (a *addr) Carrier() any { return (*Conn)(a) }
