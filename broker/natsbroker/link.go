package natsbroker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/sse-push/caddy-sse-push/broker"
)

const (
	dialTimeout  = 2 * time.Second
	redialWait   = 200 * time.Millisecond
	pingInterval = 2 * time.Second // after two without an answer, the connection counts as lost
	callTimeout  = 2 * time.Second
)

var errNotConnected = errors.New("not connected yet")

// link holds the present connection to the servers.
type link struct {
	mu      sync.Mutex    // guards all below
	session *session      // nil while there is no connection
	err     error         // why there is none
	changed chan struct{} // closed and replaced when any of this changes
}

// session is one connection, from its beginning until it is lost.
type session struct {
	conn *nats.Conn
	lost chan struct{} // closed when it is lost

	since time.Time

	mu      sync.Mutex // guards all below
	checked bool       // the stream's settings have been checked
}

// connect makes the first connection. From then on the client reconnects by itself, until the broker is closed.
func (b *Broker) connect() {
	options := append([]nats.Option{
		nats.Name("sse_push " + b.names.stream),
		nats.Timeout(dialTimeout), nats.MaxReconnects(-1), nats.ReconnectWait(redialWait), nats.ReconnectJitter(redialWait, redialWait),
		nats.PingInterval(pingInterval), nats.MaxPingsOutstanding(2),
		nats.ReconnectBufSize(-1),   // a publish that cannot be sent now is refused as unavailable
		nats.IgnoreAuthErrorAbort(), // a password may be corrected on the server
		nats.ConnectHandler(b.arrived), nats.ReconnectHandler(b.arrived),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { b.departed(err) }),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { b.departed(err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if !errors.Is(err, nats.ErrSlowConsumer) { // Tail notices that, and reads the dropped messages again
				b.logger.Warn("NATS", "error", err)
			}
		}),
	}, b.options.Connect...)
	var conn *nats.Conn
	for {
		var err error
		o := nats.GetDefaultOptions()
		o.Servers = b.options.Servers
		for _, option := range options {
			err = errors.Join(err, option(&o))
		}
		if err == nil {
			conn, err = o.Connect()
		}
		if err == nil {
			break
		}
		b.departed(err)
		select {
		case <-b.closing.Done():
			return
		case <-time.After(redialWait):
		}
	}
	<-b.closing.Done()
	conn.Close()
	b.departed(broker.ErrClosed)
}

// arrived notes a new connection.
func (b *Broker) arrived(conn *nats.Conn) {
	if err := b.acks.listen(conn); err != nil {
		b.departed(err)
		return
	}
	b.link.mu.Lock()
	defer b.link.mu.Unlock()
	if b.link.session != nil {
		close(b.link.session.lost)
	}
	b.link.session = &session{conn: conn, lost: make(chan struct{}), since: time.Now()}
	b.link.change(nil)
}

// departed notes that the connection is lost, or why there is none yet.
func (b *Broker) departed(err error) {
	b.link.mu.Lock()
	defer b.link.mu.Unlock()
	if b.link.session != nil {
		close(b.link.session.lost)
		b.link.session = nil
	}
	if err == nil {
		err = nats.ErrDisconnected
	}
	b.link.change(err)
}

// change wakes the goroutines that wait for a change. The caller holds mu.
func (l *link) change(err error) {
	l.err = err
	close(l.changed)
	l.changed = make(chan struct{})
}

// look returns the session, a channel that is closed when it changes, and the reason if there is none.
func (l *link) look() (*session, <-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.err
	if l.session == nil && err == nil {
		err = errNotConnected
	}
	return l.session, l.changed, err
}

// connected waits for a session, until ctx is done.
func (b *Broker) connected(ctx context.Context) (*session, error) {
	for {
		if b.closing.Err() != nil {
			return nil, broker.ErrClosed
		}
		s, changed, err := b.link.look()
		if s != nil {
			return s, nil
		}
		select {
		case <-changed:
		case <-b.closing.Done():
		case <-ctx.Done():
			return nil, unavailable("connecting", err)
		}
	}
}
