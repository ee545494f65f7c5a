package stream

import (
	"errors"
	"io"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A held connection belongs to one loop, whose goroutine alone writes to its descriptor and closes it: so a
// descriptor that was given to another client never gets a byte that was meant for this one. One goroutine
// more waits on an epoll for all of them, and tells the loops who has left and whose socket has room again.

const (
	// tick is how finely time is told for heartbeats and time-outs.
	tick = 250 * time.Millisecond
	// buckets of the wheel: a little more than a minute.
	buckets = 256
	// maxBatch is how much is taken from a source at a time. What a full socket leaves of it has to be kept.
	maxBatch = 16 << 10
	// lastTicks is how long a stream that is to end waits for a full socket.
	lastTicks = uint32(time.Second / tick)
	// turns is how often a stream is written to before others have theirs.
	turns = 4
	// sendBuffer bounds what the kernel keeps for a client that does not read: twice as much.
	sendBuffer = 64 << 10
	// notSent is how much of it may wait to be sent before the socket counts as full.
	notSent = 16 << 10
)

// held is a connection that was taken over.
type held struct {
	src  Source
	loop *loop

	// What a full socket has left, in this order: rest is this connection's own, body a part of a frame that
	// many share, and with crlf a chunk's end follows.
	rest, body []byte

	prev, next *held // in a bucket of the wheel

	fd   int32
	slot uint32
	gen  uint32 // of the slot: tells this connection from an earlier one

	// In ticks.
	due       uint32 // when it is looked at next
	wrote     uint32 // when bytes were last written
	heartbeat uint32
	timeout   uint32

	chunked bool // otherwise HTTP/1.0
	crlf    bool
	blocked bool // the socket is full
	closed  bool
	queued  bool // guarded by loop.mu
}

// loop writes to a part of the held connections.
type loop struct {
	poller *poller
	index  uint32

	mu     sync.Mutex // guards the block
	dirty  []*held    // that have something to be done
	events []event    // that the poller has seen
	slots  []*held    // by slot
	gens   []uint32
	free   []uint32
	count  int
	wake   chan struct{} // signalled when there is something of these

	wheel   [buckets]*held
	start   time.Time
	now     uint32 // in ticks
	frames  [][]byte
	scratch []byte
}

type event struct {
	slot, gen uint32
	left      bool // otherwise: there is room
}

// poller waits for all held connections at once.
type poller struct {
	fd    int
	loops []*loop
	next  uint32
	mu    sync.Mutex // guards next
}

var thePoller = sync.OnceValues(newPoller)

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, err
	}
	p := &poller{fd: fd}
	for i := range runtime.GOMAXPROCS(0) {
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
				p.loops[e.Fd&loopMask].tell(event{
					slot: uint32(e.Fd) >> loopBits, gen: uint32(e.Pad),
					left: e.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0,
				})
			}
		}
	})
}

const (
	loopBits = 8
	loopMask = 1<<loopBits - 1
)

func (l *loop) tell(e event) {
	l.mu.Lock()
	l.events = append(l.events, e)
	l.mu.Unlock()
	l.signal()
}

func (l *loop) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// hold takes a descriptor, which the loop closes when the stream has ended.
func hold(fd int, chunked bool, src Source, o Options) error {
	p, err := thePoller()
	if err != nil {
		return err
	}
	for _, opt := range []struct{ level, name, value int }{
		{unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer},
		{unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSent},
		{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(o.WriteTimeout.Milliseconds())},
	} {
		_ = unix.SetsockoptInt(fd, opt.level, opt.name, opt.value) // a limit, not a need
	}
	p.mu.Lock()
	p.next++
	l := p.loops[int(p.next)%len(p.loops)]
	p.mu.Unlock()

	s := &held{
		src: src, loop: l, fd: int32(fd), chunked: chunked,
		heartbeat: ticks(o.Heartbeat), timeout: ticks(o.WriteTimeout), queued: true,
	}
	l.mu.Lock()
	if n := len(l.free); n > 0 {
		s.slot = l.free[n-1]
		l.free = l.free[:n-1]
	} else {
		s.slot = uint32(len(l.slots))
		l.slots, l.gens = append(l.slots, nil), append(l.gens, 0)
	}
	l.gens[s.slot]++
	s.gen = l.gens[s.slot]
	l.slots[s.slot] = s
	l.count++
	l.dirty = append(l.dirty, s)
	l.mu.Unlock()
	src.OnWake(s.wake)

	// Edge-triggered, and once for all: it tells of room only behind a write that met a full socket.
	err = unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{
		Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET&0xffffffff,
		Fd:     int32(s.slot<<loopBits | l.index), Pad: int32(s.gen),
	})
	if err != nil {
		l.tell(event{s.slot, s.gen, true})
	}
	l.signal()
	return nil
}

func ticks(d time.Duration) uint32 { return uint32(max(1, min(d/tick, 1<<30))) }

// wake is called by the source's side.
func (s *held) wake() {
	l := s.loop
	l.mu.Lock()
	first := !s.queued
	if first {
		s.queued = true
		l.dirty = append(l.dirty, s)
	}
	l.mu.Unlock()
	if first {
		l.signal()
	}
}

func (l *loop) run() {
	var dirty []*held
	var events []event
	timer := time.NewTimer(0)
	for {
		l.mu.Lock()
		dirty, l.dirty = l.dirty, dirty[:0]
		events, l.events = l.events, events[:0]
		for _, s := range dirty {
			s.queued = false
		}
		busy := len(dirty)+len(events) > 0
		count := l.count
		l.mu.Unlock()

		l.turn()
		for _, e := range events {
			l.seen(e)
		}
		for _, s := range dirty {
			l.attend(s)
		}
		clear(dirty)
		if busy {
			continue
		}
		if count == 0 {
			<-l.wake
			continue
		}
		timer.Reset(time.Until(l.start.Add(time.Duration(l.now+1) * tick)))
		select {
		case <-l.wake:
		case <-timer.C:
		}
	}
}

// seen does what an event asks for, unless its connection is another one by now.
func (l *loop) seen(e event) {
	l.mu.Lock()
	var s *held
	if l.gens[e.slot] == e.gen {
		s = l.slots[e.slot]
	}
	l.mu.Unlock()
	switch {
	case s == nil:
	case e.left:
		l.close(s, errLeft)
	case s.blocked:
		s.blocked = false
		l.attend(s)
	}
}

var (
	errLeft    = errors.New("the client left")
	errTimeout = errors.New("the client took nothing for too long")
)

// attend writes what a stream has, as far as the socket takes it.
func (l *loop) attend(s *held) {
	if s.due == 0 && !s.closed {
		s.wrote = l.now
		l.schedule(s)
	}
	for range turns {
		switch {
		case s.closed:
			return
		case s.blocked:
			if s.src.Ended() && s.timeout > lastTicks { // nobody waits for a client that takes nothing
				s.timeout, s.wrote = lastTicks, l.now
				l.unlink(s)
				l.schedule(s)
			}
			return
		case !l.flush(s):
			continue
		}
		frames, ended := s.src.Next(l.frames[:0], maxBatch)
		l.frames = frames
		if len(frames) > 0 {
			l.write(s, frames)
		}
		clear(frames)
		switch {
		case s.closed:
			return
		case ended != nil:
			l.finish(s, ended)
			return
		case len(frames) == 0:
			return
		}
	}
	s.wake()
}

// finish ends a stream that its source has ended. What the socket does not take now is lost: a client that
// comes back asks for it again.
func (l *loop) finish(s *held, ended error) {
	if s.chunked && !s.blocked {
		_, _ = unix.Write(int(s.fd), []byte("0\r\n\r\n"))
	}
	if errors.Is(ended, io.EOF) {
		ended = nil
	}
	l.close(s, ended)
}

// write sends frames as one chunk. A large one goes out from where it is, shared as it may be; small ones are put
// together first.
func (l *loop) write(s *held, frames [][]byte) {
	size := 0
	for _, f := range frames {
		size += len(f)
	}
	b := l.scratch[:0]
	if s.chunked {
		b = append(strconv.AppendUint(b, uint64(size), 16), '\r', '\n')
	}
	if len(frames) == 1 && size > maxBatch {
		s.body, s.crlf = frames[0], s.chunked
		frames = nil
	}
	for _, f := range frames {
		b = append(b, f...)
	}
	if s.chunked && s.body == nil {
		b = append(b, '\r', '\n')
	}
	l.scratch = b
	s.rest = b
	if !l.flush(s) && !s.closed {
		s.rest = append([]byte(nil), s.rest...) // scratch is used again
	}
}

// flush writes what is left, and reports whether nothing is any more.
func (l *loop) flush(s *held) bool {
	for {
		b := &s.rest
		switch {
		case len(s.rest) > 0:
		case len(s.body) > 0:
			b = &s.body
		case s.crlf:
			s.rest, s.crlf = crlf, false
		default:
			s.rest, s.body = nil, nil
			return true
		}
		n, err := unix.Write(int(s.fd), *b)
		switch {
		case err == nil:
			s.wrote = l.now
			*b = (*b)[n:]
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			s.blocked = true
			return false
		default:
			l.close(s, os.NewSyscallError("write", err))
			return false
		}
	}
}

var crlf = []byte("\r\n")

// close lets go of a connection; nothing of it is left behind.
func (l *loop) close(s *held, reason error) {
	if s.closed {
		return
	}
	s.closed, s.rest, s.body, s.crlf = true, nil, nil, false
	l.unlink(s)
	_ = unix.Close(int(s.fd)) // which takes it out of the epoll
	l.mu.Lock()
	l.gens[s.slot]++ // an event under way is for nobody
	l.slots[s.slot] = nil
	l.free = append(l.free, s.slot)
	l.count--
	l.mu.Unlock()
	s.src.Close(reason)
}

// turn moves the wheel on to the present, and looks at the streams whose time has come.
func (l *loop) turn() {
	now := uint32(time.Since(l.start)/tick) + 1
	if now-l.now > buckets { // the machine slept, or there was nothing to do for long: each bucket once is enough
		l.now = now - buckets
	}
	for l.now != now {
		l.now++
		for s := l.wheel[l.now%buckets]; s != nil; {
			following := s.next
			if int32(s.due-l.now) <= 0 {
				l.unlink(s)
				l.look(s)
			}
			s = following
		}
	}
}

// look keeps a silent stream open, and gives one up that takes nothing.
func (l *loop) look(s *held) {
	silent := l.now - s.wrote
	switch {
	case s.blocked && silent >= s.timeout:
		l.close(s, errTimeout)
		return
	case !s.blocked && silent >= s.heartbeat:
		l.frames = append(l.frames[:0], s.src.Idle())
		l.write(s, l.frames)
		clear(l.frames)
	}
	if !s.closed {
		l.schedule(s)
	}
}

// schedule puts a stream into the bucket of the time at which it is looked at next.
func (l *loop) schedule(s *held) {
	wait := s.heartbeat - min(s.heartbeat, l.now-s.wrote)
	if s.blocked {
		wait = s.timeout - min(s.timeout, l.now-s.wrote)
	}
	s.due = l.now + max(1, min(wait, s.timeout/4+1))
	b := &l.wheel[s.due%buckets]
	s.prev, s.next = nil, *b
	if *b != nil {
		(*b).prev = s
	}
	*b = s
}

func (l *loop) unlink(s *held) {
	if s.prev != nil {
		s.prev.next = s.next
	} else if b := &l.wheel[s.due%buckets]; *b == s {
		*b = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	}
	s.prev, s.next = nil, nil
}
