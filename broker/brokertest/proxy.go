package brokertest

import (
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy passes TCP connections between a node and its engine, and can break them in several ways.
type Proxy struct {
	target   string
	listener net.Listener
	done     sync.WaitGroup

	mu     sync.Mutex // guards all below
	links  map[*link]struct{}
	delay  time.Duration
	thawed chan struct{} // closed while bytes pass
	down   bool
	budget int // bytes from the engine until all is cut; 0: no limit
}

// link is one connection through a Proxy.
type link struct {
	client, engine net.Conn
	over           chan struct{}
	close          func()
	mute           chan struct{} // closed if the link is half open
}

// NewProxy starts a proxy to addr, which ends with the test.
func NewProxy(t testing.TB, addr string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{target: addr, listener: l, links: map[*link]struct{}{}, thawed: make(chan struct{})}
	close(p.thawed)
	p.done.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.Down()
		p.done.Wait()
	})
	return p
}

// Addr returns the address that the proxy listens on.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Cut ends every connection.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut()
}

func (p *Proxy) cut() {
	p.budget = 0
	for l := range p.links {
		l.close()
	}
}

// CutAfter ends every connection after n more bytes from the engine: in the middle of a reply.
func (p *Proxy) CutAfter(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.budget = n
}

// Down ends every connection, and each new one, until Up.
func (p *Proxy) Down() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	p.cut()
}

// Up ends Down.
func (p *Proxy) Up() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
}

// HalfOpen keeps all present connections open, but passes nothing on them any more. New ones work.
func (p *Proxy) HalfOpen() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		select {
		case <-l.mute:
		default:
			close(l.mute)
		}
	}
}

// Freeze holds back all bytes, both ways, until Thaw.
func (p *Proxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.thawed:
		p.thawed = make(chan struct{})
	default:
	}
}

// Thaw ends Freeze.
func (p *Proxy) Thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.thawed:
	default:
		close(p.thawed)
	}
}

// Delay delays what the engine sends by d.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.done.Go(func() { p.connect(client) })
	}
}

func (p *Proxy) connect(client net.Conn) {
	engine, err := net.DialTimeout("tcp", p.target, 5*time.Second)
	if err != nil {
		_ = client.Close()
		return
	}
	l := &link{client: client, engine: engine, over: make(chan struct{}), mute: make(chan struct{})}
	l.close = sync.OnceFunc(func() {
		close(l.over)
		_ = client.Close()
		_ = engine.Close()
	})
	p.mu.Lock()
	if p.down {
		l.close()
	}
	p.links[l] = struct{}{}
	p.mu.Unlock()
	var pumps sync.WaitGroup
	pumps.Go(func() { p.pump(l, client, engine, false) })
	pumps.Go(func() { p.pump(l, engine, client, true) })
	pumps.Wait()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

// chunk is bytes on their way.
type chunk struct {
	bytes []byte
	due   time.Time
}

// pump passes bytes on in one direction. Bytes that wait do not hold up the reading of more, as on a long line.
func (p *Proxy) pump(l *link, from, to net.Conn, reply bool) {
	chunks := make(chan chunk, 1024)
	var writing sync.WaitGroup
	writing.Go(func() {
		defer l.close()
		for c := range chunks {
			if !p.pass(l, to, c, reply) {
				return
			}
		}
	})
	for {
		buf := make([]byte, 16<<10)
		n, err := from.Read(buf)
		c := chunk{bytes: buf[:n]}
		p.mu.Lock()
		if reply && p.delay > 0 {
			c.due = time.Now().Add(p.delay)
		}
		p.mu.Unlock()
		if n > 0 {
			select {
			case chunks <- c:
			case <-l.over:
			}
		}
		if err != nil {
			break
		}
	}
	close(chunks)
	writing.Wait()
}

// pass waits until a chunk may pass and writes it. It reports whether the connection goes on.
func (p *Proxy) pass(l *link, to net.Conn, c chunk, reply bool) bool {
	if wait := time.Until(c.due); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-l.over:
			return false
		}
	}
	for {
		p.mu.Lock()
		thawed := p.thawed
		p.mu.Unlock()
		select {
		case <-l.over:
			return false
		case <-l.mute:
		case <-thawed:
		}
		select {
		case <-l.mute: // it may be thawed as well
			return true
		default:
		}
		p.mu.Lock()
		again := p.thawed != thawed
		last := false
		if reply && !again && p.budget > 0 {
			if last = len(c.bytes) >= p.budget; last {
				c.bytes = c.bytes[:p.budget]
			} else {
				p.budget -= len(c.bytes)
			}
		}
		p.mu.Unlock()
		if again {
			continue
		}
		_, err := to.Write(c.bytes)
		if last {
			p.Cut()
		}
		return err == nil && !last
	}
}
