package transport

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// poller reports events of sockets that nobody reads from, or that were full.
type poller struct {
	fd int

	// mu guards what follows. A socket's mu may be locked before it, not after.
	mu    sync.Mutex
	slots []*socket
	gens  []uint32 // how often each slot was taken
	free  []uint32 // slots without a socket
}

var thePoller = sync.OnceValues(newPoller)

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	p := &poller{fd: fd}
	// The runtime polls the epoll's own descriptor, so that waiting for it takes no thread.
	file, err := os.NewFile(uintptr(fd), "epoll").SyscallConn()
	if err != nil {
		return nil, err
	}
	go p.run(file)
	return p, nil
}

// arm makes the epoll report one of the events once. The caller holds the socket's mu, and the socket is open.
func (p *poller) arm(s *socket, events uint32) error {
	op := unix.EPOLL_CTL_MOD
	if s.gen == 0 {
		op = unix.EPOLL_CTL_ADD
		p.enter(s)
	}
	e := unix.EpollEvent{Events: events | unix.EPOLLONESHOT, Fd: int32(s.slot), Pad: int32(s.gen)}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.fd, op, int(s.fd), &e))
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
	_ = unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, int(s.fd), nil)
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

// run passes on what the epoll reports.
func (p *poller) run(file interface {
	Read(func(uintptr) bool) error
}) {
	var events [256]unix.EpollEvent
	_ = file.Read(func(fd uintptr) bool {
		for {
			n, err := unix.EpollWait(int(fd), events[:], 0)
			if n <= 0 || err != nil {
				return false // wait until there is something, and call again
			}
			for _, e := range events[:n] {
				if s := p.at(uint32(e.Fd), uint32(e.Pad)); s != nil {
					s.seen(e.Events)
				}
			}
		}
	})
}
