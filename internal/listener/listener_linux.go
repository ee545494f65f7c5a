package listener

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/http2"
	"github.com/sse-push/caddy-sse-push/internal/transport"
)

// Wrap returns a listener whose connections with TLS, as ln accepts them, have a transport of ours. It hands them on after their
// handshake. A connection whose handshake has failed is handed on as a tls.Conn, in which the server finds the error; one without TLS,
// or without TCP, as it is.
func Wrap(ln net.Listener, c Config) net.Listener {
	l := &listener{Listener: ln, config: c, accepted: make(chan result), closing: make(chan struct{}), over: make(chan struct{})}
	l.ctx, l.abort = context.WithCancel(context.Background())
	l.http2 = http2.NewServer(l.offer)
	go l.run()
	return l
}

type listener struct {
	net.Listener
	config   Config
	http2    *http2.Server
	accepted chan result

	close   sync.Once
	closing chan struct{} // closed when no further connections are accepted
	over    chan struct{} // closed when all handshakes have ended as well
	ctx     context.Context
	abort   context.CancelFunc // ends handshakes that take too long after the listener was closed
}

// result is what Accept returns.
type result struct {
	conn net.Conn
	err  error
}

// Accept returns the next connection. After the listener was closed, it returns those whose handshake was under way.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case r := <-l.accepted:
		return r.conn, r.err
	case <-l.over:
		return nil, net.ErrClosed
	}
}

// Close ends the listener. Handshakes go on for a while.
func (l *listener) Close() (err error) {
	l.close.Do(func() {
		close(l.closing)
		err = l.Listener.Close()
		time.AfterFunc(l.config.Linger, l.abort)
		l.http2.Shutdown()
	})
	return err
}

// run accepts connections, and starts their handshakes.
func (l *listener) run() {
	var shaking sync.WaitGroup
	defer func() {
		shaking.Wait()
		l.abort()
		close(l.over)
	}()
	for {
		conn, err := l.Listener.Accept()
		secure, ok := conn.(*tls.Conn)
		switch {
		case err != nil && l.closed():
			return // without the error, after which the server would not take the connections that still come
		case err != nil:
			select {
			case <-l.closing:
			case l.accepted <- result{err: err}: // the server decides whether to go on, and waits a little if it does
			}
		case !ok:
			l.hand(conn)
		default:
			shaking.Go(func() { l.shake(secure) })
		}
	}
}

// closed reports whether Close was called.
func (l *listener) closed() bool {
	select {
	case <-l.closing:
		return true
	default:
		return false
	}
}

// hand hands a connection to the server.
func (l *listener) hand(conn net.Conn) {
	if !l.offer(conn) {
		_ = conn.Close()
	}
}

// offer reports whether the server has taken a connection.
func (l *listener) offer(conn net.Conn) bool {
	select {
	case l.accepted <- result{conn: conn}:
		return true
	case <-l.ctx.Done():
		return false
	}
}

// shake runs a connection's handshake.
func (l *listener) shake(secure *tls.Conn) {
	c, err := transport.Server(secure.NetConn(), l.config.TLS)
	if err != nil {
		l.hand(secure) // nothing was read from it
		return
	}
	if err := c.Handshake(l.ctx, l.config.Timeout); err != nil {
		l.hand(c.TLS())
		return
	}
	if c.ConnectionState().NegotiatedProtocol == "h2" {
		l.http2.Serve(c)
		return
	}
	l.hand(c.Blocking())
}
