package stream

import (
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

type event struct {
	slot, gen uint32 // gen has genMask's bits
	left      bool   // otherwise: there is room
}

// poller waits for all held connections at once.
type poller struct {
	fd    int
	loops []*loop

	mu   sync.Mutex // guards next
	next uint32

	workers *workers
}

var thePoller = sync.OnceValues(func() (*poller, error) { return newPoller(runtime.GOMAXPROCS(0)) })

// newPoller returns a poller with a loop for each processor, up to maxLoops.
func newPoller(processors int) (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	p := &poller{fd: fd, workers: newWorkers(workersPerProcessor*processors, maxStuck)}
	for i := range loopsFor(processors) {
		l := &loop{poller: p, index: uint32(i), wake: make(chan struct{}, 1), start: time.Now()}
		p.loops = append(p.loops, l)
		go l.run()
	}
	// The epoll stands in the runtime's own: waiting for it takes no thread.
	file, err := os.NewFile(uintptr(fd), "epoll").SyscallConn()
	if err != nil {
		return nil, err
	}
	go p.run(file)
	return p, nil
}

func (p *poller) run(file interface {
	Read(func(uintptr) bool) error
}) {
	var events [256]unix.EpollEvent
	_ = file.Read(func(fd uintptr) bool {
		for {
			n, err := unix.EpollWait(int(fd), events[:], 0)
			if n <= 0 || err != nil {
				return false // wait, and come again
			}
			for _, e := range events[:n] {
				seen, loop := unpack(e.Fd, e.Pad)
				seen.left = e.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0
				p.loops[loop].tell(seen)
			}
		}
	})
}

// An epoll event carries 64 bits: the slot has 32 of them, as many as there can be descriptors. The rest is the loop and
// the slot's generation. Of the generation, 24 bits do: it tells a late event from one for the slot's next connection, and no
// event is late by 16 million connections.
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

// unpack is the reverse of pack.
func unpack(fd, pad int32) (e event, loop uint32) {
	return event{slot: uint32(fd), gen: uint32(pad) >> loopBits}, uint32(pad) & loopMask
}
