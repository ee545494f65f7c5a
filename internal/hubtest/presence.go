package hubtest

import (
	"context"
	"sync"

	"github.com/sse-push/caddy-sse-push/broker/brokertest"
)

// presence controls when clients are connected at all.
type presence struct {
	mu        sync.Mutex // guards all below
	connected int
	present   context.Context // done while they are away
	depart    context.CancelFunc
	back      chan struct{} // closed when they may come back
}

func (p *presence) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.present, p.depart = context.WithCancel(context.Background())
	p.back = make(chan struct{})
}

// enter waits until clients may connect, and counts one in. It returns a context that is done when they have to leave; nil if
// ctx is done.
func (p *presence) enter(ctx context.Context) context.Context {
	for {
		p.mu.Lock()
		present, back := p.present, p.back
		if present.Err() == nil {
			p.connected++
			p.mu.Unlock()
			return present
		}
		p.mu.Unlock()
		select {
		case <-back:
		case <-ctx.Done():
			return nil
		}
	}
}

func (p *presence) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.connected--
}

// depart disconnects all clients. They stay away until back is called, and then reconnect all at once.
func (c *cluster) depart() (back func()) {
	c.t.Helper()
	p := &c.presence
	p.depart()
	brokertest.Eventually(c.t, "every client has gone", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.connected == 0
	})
	return func() {
		waiting := p.back
		p.begin()
		close(waiting)
	}
}
