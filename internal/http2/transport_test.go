package http2

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/sse-push/caddy-sse-push/internal/transport"
)

// plain is a Transport in memory, without TLS. What is written to it is queued until the client reads.
type plain struct {
	mu       sync.Mutex
	change   *sync.Cond
	in, out  []byte
	finished bool // nothing more comes from the client
	closed   bool
	await    bool
	past     bool // the deadline of reads has passed
	watcher  transport.Watcher
	slow     bool          // reads return a byte at a time
	limit    int           // how much of out the socket takes; Queued is what is more
	gate     chan struct{} // if it is not nil, TryRead waits for it
}

func newPlain() *plain {
	p := &plain{limit: 1 << 20}
	p.change = sync.NewCond(&p.mu)
	return p
}

func (p *plain) Read(b []byte) (int, error) { return p.read(b, true) }

func (p *plain) TryRead(b []byte) (int, error) {
	p.mu.Lock()
	gate := p.gate
	p.mu.Unlock()
	if gate != nil {
		<-gate
	}
	return p.read(b, false)
}

func (p *plain) read(b []byte, wait bool) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.in) == 0 && wait && !p.past && !p.closed && !p.finished {
		p.change.Wait()
	}
	switch {
	case p.closed:
		return 0, net.ErrClosed
	case len(p.in) > 0:
		if p.slow {
			b = b[:min(len(b), 1)]
		}
		n := copy(b, p.in)
		p.in = p.in[n:]
		return n, nil
	case p.finished:
		return 0, io.EOF
	case wait:
		return 0, os.ErrDeadlineExceeded
	}
	return 0, syscall.EAGAIN
}

func (p *plain) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0, net.ErrClosed
	}
	p.out = append(p.out, b...)
	p.change.Broadcast()
	return len(b), nil
}

func (p *plain) Queued() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(len(p.out)-p.limit, 0)
}

func (p *plain) Drain(most int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.out)-p.limit > most && !p.closed {
		p.change.Wait()
	}
	return nil
}

func (p *plain) Watch(w transport.Watcher) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watcher = w
}

func (p *plain) AwaitRead() error {
	p.mu.Lock()
	p.await = true
	p.mu.Unlock()
	p.report()
	return nil
}

// report calls Readable if that is awaited, as an epoll would.
func (p *plain) report() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.await && (len(p.in) > 0 || p.finished) && !p.closed {
		p.await = false
		go p.watcher.Readable()
	}
}

func (p *plain) Finish(time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.change.Broadcast()
}

// Close loses what is queued.
func (p *plain) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.out = p.out[:min(len(p.out), p.limit)]
	}
	p.closed = true
	p.change.Broadcast()
	return nil
}

func (p *plain) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (p *plain) RemoteAddr() net.Addr             { return &net.TCPAddr{Port: 1} }
func (p *plain) SetWriteDeadline(time.Time) error { return nil }

// SetReadDeadline knows deadlines that have passed, and none.
func (p *plain) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.past = !t.IsZero()
	p.change.Broadcast()
	return nil
}

// far is the client's end of a plain.
type far struct{ p *plain }

func (f far) Write(b []byte) (int, error) {
	f.p.mu.Lock()
	if f.p.closed {
		f.p.mu.Unlock()
		return 0, net.ErrClosed
	}
	f.p.in = append(f.p.in, b...)
	f.p.change.Broadcast()
	f.p.mu.Unlock()
	f.p.report()
	return len(b), nil
}

func (f far) Read(b []byte) (int, error) {
	p := f.p
	p.mu.Lock()
	before := len(p.out) - p.limit
	for len(p.out) == 0 && !p.closed {
		p.change.Wait()
	}
	n := copy(b, p.out)
	p.out = p.out[n:]
	watcher := p.watcher
	empty := before > 0 && len(p.out) <= p.limit
	p.change.Broadcast()
	p.mu.Unlock()
	if empty && watcher != nil {
		watcher.Writable()
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// Close is a client that leaves.
func (f far) Close() error {
	f.p.mu.Lock()
	f.p.finished = true
	f.p.change.Broadcast()
	f.p.mu.Unlock()
	f.p.report()
	return nil
}

func (f far) LocalAddr() net.Addr              { return &net.TCPAddr{Port: 1} }
func (f far) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (f far) SetDeadline(time.Time) error      { return nil }
func (f far) SetReadDeadline(time.Time) error  { return nil }
func (f far) SetWriteDeadline(time.Time) error { return nil }

var _ net.Conn = far{}
