package main

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// connecting is how many clients connect at once.
	connecting = 200
	// perSource is how many clients share a loopback address: a port of one is used once for each server.
	perSource = 10_000
	// internetSegment is the most that a TCP segment carries outside, in bytes.
	internetSegment = 1448
)

// loop is a driver of clients without TLS: one thread on epoll, so that the generator takes as little from the server as it can.
type loop struct {
	swarm  *swarm
	epoll  int
	wakeFD int
	server unix.SockaddrInet4
	ended  chan struct{}

	mu   sync.Mutex
	todo []func()

	// What follows is the thread's own.
	clients []loopClient // by position
	waiting []*client
	open    int // clients that wait for their response's head
	buf     []byte
	stop    bool
}

type loopClient struct {
	*client
	fd   int // -1 when closed
	sent bool
	up   bool // or failed
}

const wakeEvent = -1

func newLoop(s *swarm) (*loop, error) {
	at, err := netip.ParseAddrPort(s.target.address)
	if err != nil {
		return nil, err
	}
	l := &loop{swarm: s, ended: make(chan struct{}), buf: make([]byte, 256<<10)}
	l.server = unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	if l.wakeFD, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		unix.Close(l.epoll)
		return nil, err
	}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, l.wakeFD, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: wakeEvent}); err != nil {
		unix.Close(l.epoll)
		unix.Close(l.wakeFD)
		return nil, err
	}
	go l.run()
	return l, nil
}

// do runs a function on the loop's thread, and waits for it.
func (l *loop) do(f func() error) error {
	done := make(chan error, 1)
	l.mu.Lock()
	l.todo = append(l.todo, func() { done <- f() })
	l.mu.Unlock()
	if _, err := unix.Write(l.wakeFD, []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-l.ended:
		return errors.New("the loop has ended")
	}
}

func (l *loop) connect(clients []*client) error {
	return l.do(func() error {
		l.waiting = append(l.waiting, clients...)
		l.connectMore()
		return nil
	})
}

func (l *loop) close() {
	_ = l.do(func() error { // an error says that it is closed
		l.stop = true
		return nil
	})
	<-l.ended
}

func (l *loop) run() {
	runtime.LockOSThread()
	// A thread that ends takes along the servers that were started from it.
	defer runtime.UnlockOSThread()
	defer close(l.ended)
	defer unix.Close(l.wakeFD)
	defer unix.Close(l.epoll)
	events := make([]unix.EpollEvent, 512)
	for !l.stop {
		n, err := unix.EpollWait(l.epoll, events, -1)
		if err != nil && err != unix.EINTR {
			panic(fmt.Sprintf("epoll_wait: %v", err))
		}
		for _, e := range events[:max(n, 0)] {
			if e.Fd == wakeEvent {
				l.runTodo()
			} else {
				l.serve(&l.clients[e.Fd], e.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0)
			}
		}
		l.connectMore()
	}
	for i := range l.clients {
		l.hangUp(&l.clients[i])
	}
}

func (l *loop) runTodo() {
	_, _ = unix.Read(l.wakeFD, l.buf[:8]) // whatever it says, there is something to do
	l.mu.Lock()
	todo := l.todo
	l.todo = nil
	l.mu.Unlock()
	for _, f := range todo {
		f()
	}
}

func (l *loop) connectMore() {
	for l.open < connecting && len(l.waiting) > 0 {
		c := l.waiting[0]
		l.waiting = l.waiting[1:]
		l.clients = append(l.clients, loopClient{client: c, fd: -1})
		l.open++
		if err := l.dial(len(l.clients) - 1); err != nil {
			l.fail(&l.clients[len(l.clients)-1], err)
		}
	}
}

func (l *loop) dial(i int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	c := &l.clients[i]
	c.fd = fd
	if size := l.swarm.smallBuffer; size > 0 && c.tally == &l.swarm.slow {
		if err := shrink(fd, size); err != nil {
			return err
		}
	}
	if source := l.swarm.target.source(i); source != [4]byte{127, 0, 0, 1} {
		if err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
			return err
		}
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: source}); err != nil {
			return err
		}
	}
	if err := unix.Connect(fd, &l.server); err != nil && err != unix.EINPROGRESS {
		return err
	}
	return l.watch(unix.EPOLL_CTL_ADD, i)
}

// watch is edge-triggered, so that a client is registered once, for its connecting as well as for its reading.
func (l *loop) watch(op, i int) error {
	return unix.EpollCtl(l.epoll, op, l.clients[i].fd,
		&unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(i)})
}

// serve does what a client's socket is ready for. At the end of a stream it has to be read to its end.
func (l *loop) serve(c *loopClient, atEnd bool) {
	if c.fd < 0 {
		return
	}
	if !c.sent {
		if code, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || code != 0 {
			l.fail(c, errors.Join(err, unix.Errno(code)))
			return
		}
		request := l.swarm.target.request(c.user, l.swarm.lastEventID)
		n, err := unix.Write(c.fd, request)
		if err == unix.EAGAIN {
			return
		}
		if err != nil || n < len(request) {
			l.fail(c, fmt.Errorf("sending a request: %d of %d bytes: %w", n, len(request), err))
			return
		}
		c.sent = true
	}
	for {
		n, err := unix.Read(c.fd, l.buf)
		if err == unix.EAGAIN {
			return
		}
		if n > 0 {
			err = c.take(l.buf[:n])
		} else if err == nil {
			err = errors.New("the server closed the connection")
		}
		if err == nil && c.state == ended {
			err = errors.New("the server ended the stream")
		}
		if c.state != inHead && !c.up {
			c.up = true
			l.open--
			l.swarm.up()
		}
		if err != nil {
			l.fail(c, err)
			return
		}
		if n < len(l.buf) && !atEnd {
			return // it was all; what comes from now on is a new edge
		}
	}
}

// fail counts a client that ended by itself.
func (l *loop) fail(c *loopClient, err error) {
	l.hangUp(c)
	c.leave()
	if !c.up {
		c.up = true
		l.open--
		l.swarm.failed(err)
	}
}

func (l *loop) hangUp(c *loopClient) {
	if c.fd >= 0 {
		unix.Close(c.fd)
		c.fd = -1
	}
}

func (l *loop) freeze(clients []*client) error {
	return l.rewatch(clients, unix.EPOLL_CTL_DEL)
}

func (l *loop) thaw(clients []*client) error {
	return l.rewatch(clients, unix.EPOLL_CTL_ADD)
}

func (l *loop) rewatch(clients []*client, op int) error {
	return l.do(func() error {
		for _, c := range clients {
			if l.clients[c.user].fd < 0 {
				continue
			}
			if err := l.watch(op, c.user); err != nil {
				return err
			}
		}
		return nil
	})
}
