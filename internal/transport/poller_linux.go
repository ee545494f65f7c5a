package transport

import (
	"sync"

	"golang.org/x/sys/unix"

	"github.com/sse-push/caddy-sse-push/internal/epoll"
)

// poller reports events of sockets that nobody reads from, or that were full.
type poller struct {
	epoll *epoll.Set

	// mu guards what follows. A socket's mu may be locked before it, not after.
	mu    sync.Mutex
	slots []*socket
	gens  []uint32 // how often each slot was taken
	free  []uint32 // slots without a socket
}

var thePoller = sync.OnceValues(newPoller)

func newPoller() (p *poller, err error) {
	p = new(poller)
	p.epoll, err = epoll.Open(p.seen)
	return p, err
}

// arm makes the epoll report one of the events once. The caller holds the socket's mu, and the socket is open.
func (p *poller) arm(s *socket, events uint32) error {
	tell := p.epoll.Change
	if s.gen == 0 {
		tell = p.epoll.Add
		p.enter(s)
	}
	return tell(int(s.fd), events|unix.EPOLLONESHOT, int32(s.slot), int32(s.gen))
}

// enter gives a socket a slot.
func (p *poller) enter(s *socket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		s.slot = p.free[n-1]
		p.free = p.free[:n-1]
	} else {
		s.slot = uint32(len(p.slots))
		p.slots, p.gens = append(p.slots, nil), append(p.gens, 0)
	}
	p.slots[s.slot] = s
	p.gens[s.slot] = max(1, p.gens[s.slot]+1) // never 0
	s.gen = p.gens[s.slot]
}

// leave forgets a socket that is about to be closed. The caller holds the socket's mu.
func (p *poller) leave(s *socket) {
	if s.gen == 0 {
		return
	}
	// Go may close the descriptor a little later, if it is still being read from.
	p.epoll.Remove(int(s.fd))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.slots[s.slot] = nil
	p.free = append(p.free, s.slot)
	s.gen = 0
}

// at returns the socket that an event is for; nil if it is closed.
func (p *poller) at(slot, gen uint32) *socket {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gens[slot] != gen { // late: the slot has another socket by now
		return nil
	}
	return p.slots[slot]
}

// seen passes an event on to its socket.
func (p *poller) seen(e unix.EpollEvent) {
	if s := p.at(uint32(e.Fd), uint32(e.Pad)); s != nil {
		s.seen(e.Events)
	}
}
