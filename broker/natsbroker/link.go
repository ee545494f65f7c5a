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
	pingInterval = 2 * time.Second // two without an answer, and the connection counts as lost
	callTimeout  = 2 * time.Second
)

var errNotConnected = errors.New("not connected yet")

// link is the way to the servers, which comes and goes.
type link struct {
	mu      sync.Mutex    // guards all below
	session *session      // nil while there is none
	err     error         // why there is none
	changed chan struct{} // closed and replaced when any of this changes
}

// session is one connection, from when it stands until it is lost.
type session struct {
	conn *nats.Conn
	lost chan struct{} // closed when it is

	since time.Time

	mu      sync.Mutex // guards all below
	checked bool       // whether the stream's settings have been looked at
}

// connect makes the first connection; from then on the client reconnects by itself. It ends with the broker.
func (b *Broker) connect() {
	options := append([]nats.Option{
		nats.Name("sse_push " + b.names.stream),
		nats.Timeout(dialTimeout), nats.MaxReconnects(-1), nats.ReconnectWait(redialWait), nats.ReconnectJitter(redialWait, redialWait),
		nats.PingInterval(pingInterval), nats.MaxPingsOutstanding(2),
		nats.ReconnectBufSize(-1),   // what cannot be sent now is said to be unavailable
		nats.IgnoreAuthErrorAbort(), // a password may be put right at the server
		nats.ConnectHandler(b.arrived), nats.ReconnectHandler(b.arrived),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { b.departed(err) }),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { b.departed(err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if !errors.Is(err, nats.ErrSlowConsumer) { // Tail notices that, and reads again what was dropped
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

// arrived takes a connection that stands.
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

// departed notes that the connection is lost, or why there is still none.
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

// change tells those who wait. The caller holds mu.
func (l *link) change(err error) {
	l.err = err
	close(l.changed)
	l.changed = make(chan struct{})
}

// look returns the session, a channel that is closed when another one comes or it goes, and why there is none.
func (l *link) look() (*session, <-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.err
	if l.session == nil && err == nil {
		err = errNotConnected
	}
	return l.session, l.changed, err
}

// connected waits for a session until ctx is done.
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
