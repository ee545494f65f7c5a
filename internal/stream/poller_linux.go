package stream

import (
	"crypto/tls"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sse-push/caddy-sse-push/internal/epoll"
)

// event is what the poller has seen of a connection.
type event struct {
	slot, gen uint32 // of the stream; gen has only the bits of genMask
	left      bool   // the client has left; otherwise its socket has room
}

// poller waits for events of all held connections.
type poller struct {
	epoll *epoll.Set
	loops []*loop

	mu   sync.Mutex // guards next
	next uint32     // the loop of the next stream

	workers *workers
}

var thePoller = sync.OnceValues(func() (*poller, error) { return newPoller(runtime.GOMAXPROCS(0)) })

// newPoller returns a poller with a loop for each processor, up to maxLoops.
func newPoller(processors int) (p *poller, err error) {
	p = &poller{workers: newWorkers(workersPerProcessor*processors, maxStuck)}
	for i := range loopsFor(processors) {
		p.loops = append(p.loops, &loop{poller: p, index: uint32(i), wake: make(chan struct{}, 1), wheel: wheel{start: time.Now()}})
	}
	if p.epoll, err = epoll.Open(p.seen); err != nil {
		return nil, err
	}
	for _, l := range p.loops {
		go l.run()
	}
	return p, nil
}

// pick returns the loop of the next stream.
func (p *poller) pick() *loop {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next++
	return p.loops[int(p.next)%len(p.loops)]
}

// assign chooses the loop of a stream. From now on the source can wake it, so that nothing is lost that comes before the loop's first
// look.
func (p *poller) assign(s *held) *held {
	s.loop, s.queued = p.pick(), true // as the loop's first look is certain
	s.src.OnWake(s)
	return s
}

// hold gives a connection to its stream's loop, which closes the descriptor when the stream has ended.
func (p *poller) hold(s *held, conn *tls.Conn) {
	l, fd := s.loop, int(s.fd)
	limitSocket(fd, conn == nil)
	if conn != nil {
		s.via = &via{secured: secured{Conn: conn}}
	}
	s.limitKernel()
	gen := l.enter(s)

	// Also before: the loop may close the descriptor, which may then belong to another client. Edge-triggered, so that it is added
	// once, and reports room only after a write that met a full socket.
	low, high := pack(s.slot, gen, l.index)
	if p.epoll.Add(fd, unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLRDHUP|unix.EPOLLET&0xffffffff, low, high) != nil {
		l.tell(event{s.slot, gen & genMask, true})
	}
	l.mu.Lock()
	l.dirty = append(l.dirty, s)
	l.mu.Unlock()
	l.signal()
}

// seen passes an event on to its loop.
func (p *poller) seen(e unix.EpollEvent) {
	what, loop := unpack(e.Fd, e.Pad)
	what.left = e.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0
	p.loops[loop].tell(what)
}

// An epoll event carries 64 bits of ours. The slot takes 32 of them, as there can be that many descriptors; the loop and the slot's
// generation share the rest. The generation tells a late event from one for the slot's next connection. 24 bits are enough for that:
// no event comes 16 million connections late.
const (
	loopBits = 8
	loopMask = 1<<loopBits - 1
	maxLoops = 1 << loopBits
	genMask  = 1<<(32-loopBits) - 1
)

// loopsFor returns how many loops there are for a number of processors.
func loopsFor(processors int) int { return min(processors, maxLoops) }

// pack returns the two halves of an epoll event's data.
func pack(slot, gen, loop uint32) (fd, pad int32) { return int32(slot), int32(gen<<loopBits | loop) }

// unpack reverses pack.
func unpack(fd, pad int32) (e event, loop uint32) {
	return event{slot: uint32(fd), gen: uint32(pad) >> loopBits}, uint32(pad) & loopMask
}
