package transport

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// MaxQueue bounds the bytes that a connection queues for its client.
const MaxQueue = 256 << 10

var (
	errQueue  = errors.New("the client takes too little of what is sent to it")
	errHangup = errors.New("the client left")
)

// socket is what crypto/tls reads from and writes to.
//
// Reads that wait, and Drain, use Go's own poller. All else goes straight to the descriptor, under mu, so that nobody closes it
// meanwhile.
type socket struct {
	under net.Conn     // what was accepted: the TCP connection, or a wrapper that has read the first bytes of it
	tcp   *net.TCPConn // below that
	early []byte       // what the wrapper had read ahead; the reader's

	// mu guards what follows.
	mu       sync.Mutex
	poller   *poller
	gathers  int     // how many writers gather records
	gathered *[]byte // these records
	queue    []byte
	draining int // how many bytes Drain is sending; those in queue come after them
	watcher  Watcher
	failed   error

	fd       int32
	slot     uint32 // of the poller
	gen      uint32 // of the slot; 0 if the poller does not know the socket
	awaiting awaiting
	last     bool // the connection is to be closed once the queue is empty
	closed   bool

	// The reader's.
	direct bool // reads go past the wrapper
	try    bool // reads do not wait
}

// awaiting is what the epoll should report beside room for queued bytes.
type awaiting uint8

const (
	nothing awaiting = iota
	bytesToRead
	hangup
)

func (s *socket) init(conn net.Conn, tcp *net.TCPConn, p *poller) error {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	s.under, s.tcp, s.poller, s.direct = conn, tcp, p, conn == net.Conn(tcp)
	return raw.Control(func(fd uintptr) { s.fd = int32(fd) })
}

// settle makes reads go past the wrapper, once it has given all that it had read ahead.
func (s *socket) settle() error {
	if s.direct {
		return nil
	}
	// With a deadline in the past, the wrapper returns what it has, and does not read more.
	if err := s.under.SetReadDeadline(time.Unix(1, 0)); err != nil {
		return err
	}
	buf := make([]byte, 4<<10)
	for {
		n, err := s.under.Read(buf)
		s.early = append(s.early, buf[:n]...)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			s.direct = true
			return nil
		case err != nil:
			return err
		}
	}
}

// Read waits, unless try is set.
func (s *socket) Read(b []byte) (int, error) {
	switch {
	case len(s.early) > 0:
		n := copy(b, s.early)
		if s.early = s.early[n:]; len(s.early) == 0 {
			s.early = nil
		}
		return n, nil
	case !s.direct:
		return s.under.Read(b)
	case !s.try:
		return s.tcp.Read(b)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if s.closed {
			return 0, net.ErrClosed
		}
		switch n, err := unix.Read(int(s.fd), b); {
		case err == unix.EINTR:
		case err != nil: // EAGAIN is a temporary net.Error, after which crypto/tls can read on
			return 0, err
		case n == 0 && len(b) > 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// Write sends what the kernel takes and queues the rest.
func (s *socket) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gathers > 0 {
		*s.gathered = append(*s.gathered, b...)
		return len(b), nil
	}
	return s.write(b)
}

// gatherings has buffers for records that are gathered.
var gatherings = sync.Pool{New: func() any { return new([]byte) }}

// gather makes Write keep records until flush.
func (s *socket) gather() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gathers == 0 {
		s.gathered = gatherings.Get().(*[]byte)
	}
	s.gathers++
}

// flush writes the records that were gathered, unless another writer still adds some.
func (s *socket) flush() error {
	s.mu.Lock()
	if s.gathers--; s.gathers > 0 {
		s.mu.Unlock()
		return nil
	}
	b := s.gathered
	s.gathered = nil
	_, err := s.write(*b)
	*b = (*b)[:0]
	gatherings.Put(b)
	over := s.last && !s.busy()
	s.mu.Unlock()
	if over {
		_ = s.Close()
	}
	return err
}

// write is Write for bytes that are not gathered. The caller holds mu.
func (s *socket) write(b []byte) (int, error) {
	if err := s.broken(); err != nil {
		return 0, err
	}
	rest, full := b, s.draining+len(s.queue) > 0
	if !full {
		n, err := s.send(b)
		if err != nil {
			s.fail(err)
			return 0, err
		}
		if rest = b[n:]; len(rest) == 0 {
			return len(b), nil
		}
	}
	if s.draining+len(s.queue)+len(rest) > MaxQueue {
		s.fail(errQueue)
		return 0, errQueue
	}
	s.queue = append(s.queue, rest...)
	if full {
		return len(b), nil // Drain or the epoll will go on with it
	}
	if err := s.arm(); err != nil {
		s.fail(err)
		return 0, err
	}
	return len(b), nil
}

// broken returns why nothing can be written any more. The caller holds mu.
func (s *socket) broken() error {
	if s.failed == nil && s.closed {
		return net.ErrClosed
	}
	return s.failed
}

// fail gives the connection up. The caller holds mu.
func (s *socket) fail(err error) {
	if s.failed == nil {
		s.failed, s.queue = err, nil
		_ = s.tcp.CloseRead() // ends a read that waits
	}
}

// send makes one attempt to send bytes, and returns how many the kernel has taken. The caller holds mu.
func (s *socket) send(b []byte) (int, error) {
	for {
		switch n, err := unix.Write(int(s.fd), b); err {
		case nil:
			return n, nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, nil
		default:
			return 0, os.NewSyscallError("write", err)
		}
	}
}

func (s *socket) queued() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining + len(s.queue)
}

// drain waits until no more than most bytes are queued. It waits in Go's poller, which knows the deadline.
func (s *socket) drain(most int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	waited := false
	for s.failed == nil && !s.closed && s.draining == 0 && len(s.queue) > most {
		waited = true
		b := s.queue
		s.queue, s.draining = nil, len(b)
		s.mu.Unlock()
		n, err := s.tcp.Write(b)
		s.mu.Lock()
		s.draining = 0
		switch {
		case s.closed || err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			s.queue = append(b[n:], s.queue...)
			if e := s.arm(); e != nil {
				s.fail(e)
			}
			return err
		default:
			s.fail(err)
		}
	}
	if waited && len(s.queue) > 0 && s.broken() == nil { // queued meanwhile, when the epoll had nothing to report
		if err := s.arm(); err != nil {
			s.fail(err)
		}
	}
	if w := s.watcher; waited && w != nil && s.failed == nil && len(s.queue) == 0 {
		s.mu.Unlock()
		w.Writable()
		s.mu.Lock()
	}
	return s.broken()
}

func (s *socket) watch(w Watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watcher = w
}

func (s *socket) await(what awaiting) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	s.awaiting = what
	return s.arm()
}

// arm makes the epoll report once what is waited for. The caller holds mu.
func (s *socket) arm() error {
	var events uint32
	switch s.awaiting {
	case bytesToRead:
		events = unix.EPOLLIN | unix.EPOLLRDHUP
	case hangup:
		events = unix.EPOLLRDHUP
	}
	if len(s.queue) > 0 && s.draining == 0 {
		events |= unix.EPOLLOUT
	}
	if events == 0 {
		return nil
	}
	return s.poller.arm(s, events)
}

// seen handles what the epoll reports.
func (s *socket) seen(events uint32) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	const gone = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
	var readable, writable, last bool
	var err error
	switch {
	case s.awaiting == bytesToRead && events&(unix.EPOLLIN|gone) != 0:
		s.awaiting, readable = nothing, true
	case s.awaiting == hangup && events&gone != 0:
		s.awaiting, err = nothing, errHangup
	}
	if len(s.queue) > 0 && s.draining == 0 && s.failed == nil {
		n, e := s.send(s.queue)
		if s.queue = s.queue[n:]; len(s.queue) == 0 {
			s.queue, writable, last = nil, true, s.last
		}
		if e != nil {
			s.fail(e)
			err = e
		}
	}
	if e := s.arm(); e != nil && err == nil {
		s.fail(e)
		err = e
	}
	w := s.watcher
	s.mu.Unlock()
	switch {
	case last:
		_ = s.Close()
	case w == nil:
	case err != nil:
		w.Gone(err)
	case writable:
		w.Writable()
	}
	if w != nil && readable {
		w.Readable()
	}
}

// finish makes the socket close once all is sent that was written, and reports whether it is not yet.
func (s *socket) finish() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last, s.watcher = true, nil
	return s.busy()
}

// busy reports whether bytes were written that can still be sent. If Drain sends some, others follow. The caller holds mu.
func (s *socket) busy() bool {
	return (s.gathers > 0 || len(s.queue) > 0) && s.failed == nil && !s.closed
}

// Close closes the connection. What is queued is lost.
func (s *socket) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return net.ErrClosed
	}
	s.closed, s.queue, s.watcher = true, nil, nil
	s.poller.leave(s)
	s.mu.Unlock()
	return s.under.Close()
}

func (s *socket) LocalAddr() net.Addr                { return s.under.LocalAddr() }
func (s *socket) RemoteAddr() net.Addr               { return s.under.RemoteAddr() }
func (s *socket) SetDeadline(t time.Time) error      { return s.under.SetDeadline(t) }
func (s *socket) SetReadDeadline(t time.Time) error  { return s.under.SetReadDeadline(t) }
func (s *socket) SetWriteDeadline(t time.Time) error { return s.under.SetWriteDeadline(t) }
