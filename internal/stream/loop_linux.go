package stream

import (
	"crypto/tls"
	"errors"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A held connection belongs to one loop, whose goroutine alone writes to its descriptor and closes it: so a
// descriptor that was given to another client never gets a byte that was meant for this one. One goroutine
// more waits on an epoll for all of them, and tells the loops who has left and whose socket has room again.
// Connections with TLS are written to by workers, as encrypting takes long and crypto/tls might wait.

const (
	// tick is how finely time is told for heartbeats and time-outs.
	tick = 250 * time.Millisecond
	// buckets of the wheel: a little more than a minute.
	buckets = 256
	// longAway is how many ticks a loop may be late. Where it is later, it had no streams, or the process was suspended: that
	// time is not its clients' silence.
	longAway = 20
)

// loop has a part of the held connections.
type loop struct {
	poller *poller
	index  uint32

	mu      sync.Mutex // guards the block
	dirty   []*held    // that have something to be done
	events  []event    // that the poller has seen
	results []returned // that workers have finished with
	slots   []*held
	gens    []uint32 // of the slots
	free    []uint32
	count   int
	wake    chan struct{} // signalled when there is something of these

	wheel [buckets]*held
	start time.Time
	now   uint32 // in ticks
	writer
}

func (l *loop) tell(e event) {
	l.mu.Lock()
	l.events = append(l.events, e)
	l.mu.Unlock()
	l.signal()
}

type returned struct {
	held   *held
	result result
}

// giveBack is called by a worker that has finished with a connection.
func (l *loop) giveBack(s *held, r result) {
	l.mu.Lock()
	l.results = append(l.results, returned{s, r})
	l.mu.Unlock()
	l.signal()
}

func (l *loop) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// hold takes a descriptor, which is closed when the stream has ended.
func (p *poller) hold(fd int, conn *tls.Conn, chunked bool, src Source, t *Timing) {
	limitSocket(fd, conn == nil)
	p.mu.Lock()
	p.next++
	l := p.loops[int(p.next)%len(p.loops)]
	p.mu.Unlock()

	s := &held{
		src: src, loop: l, timing: t, fd: int32(fd), chunked: chunked, queued: true,
	}
	if conn != nil {
		s.tls = &secured{Conn: conn}
	}
	s.limitKernel()
	// Before the loop has it: what comes behind the first look must not be lost.
	src.OnWake(s.wake)
	l.mu.Lock()
	if n := len(l.free); n > 0 {
		s.slot = l.free[n-1]
		l.free = l.free[:n-1]
	} else {
		s.slot = uint32(len(l.slots))
		l.slots, l.gens = append(l.slots, nil), append(l.gens, 0)
	}
	l.gens[s.slot]++
	gen := l.gens[s.slot]
	l.slots[s.slot] = s
	l.count++
	l.mu.Unlock()

	// Also before: the loop may close the descriptor, which is somebody else's then. Edge-triggered, and once for all:
	// it tells of room only behind a write that met a full socket.
	e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET&0xffffffff}
	e.Fd, e.Pad = pack(s.slot, gen, l.index)
	err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &e)
	if err != nil {
		l.tell(event{s.slot, gen & genMask, true})
	}
	l.mu.Lock()
	l.dirty = append(l.dirty, s)
	l.mu.Unlock()
	l.signal()
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
	var results []returned
	timer := time.NewTimer(0)
	for {
		l.mu.Lock()
		dirty, l.dirty = l.dirty, dirty[:0]
		events, l.events = l.events, events[:0]
		results, l.results = l.results, results[:0]
		for _, s := range dirty {
			s.queued = false
		}
		count := l.count
		l.mu.Unlock()

		l.turn()
		for _, r := range results {
			l.takeBack(r.held, r.result)
		}
		for _, e := range events {
			l.seen(e)
		}
		for _, s := range dirty {
			l.attend(s)
		}
		busy := len(dirty)+len(events)+len(results) > 0
		clear(dirty)
		clear(results)
		switch {
		case busy:
		case count == 0:
			<-l.wake
		default:
			timer.Reset(time.Until(l.start.Add(time.Duration(l.now) * tick)))
			select {
			case <-l.wake:
			case <-timer.C:
			}
		}
	}
}

var errLeft = errors.New("the client left")

// seen does what an event asks for, unless its connection is another one by now.
func (l *loop) seen(e event) {
	l.mu.Lock()
	var s *held
	if l.gens[e.slot]&genMask == e.gen {
		s = l.slots[e.slot]
	}
	l.mu.Unlock()
	switch {
	case s == nil:
	case e.left:
		l.close(s, errLeft)
	case s.blocked, s.busy:
		s.blocked = false
		l.attend(s)
	}
}

// attend has a stream written to.
func (l *loop) attend(s *held) {
	switch {
	case s.closed:
	case s.busy:
		s.again = true
		l.hasten(s)
	case s.blocked:
		l.hasten(s)
	case s.tls == nil:
		l.done(s, l.writer.run(s))
	default:
		s.busy = true
		l.poller.workers.put(s)
	}
}

// hasten gives a stream that is to end, and whose client takes nothing, only a little time more.
func (l *loop) hasten(s *held) {
	if !s.last && s.src.Ended() {
		s.last, s.wrote = true, l.now
		l.unlink(s)
		l.schedule(s)
	}
}

// takeBack is the end of a worker's turn.
func (l *loop) takeBack(s *held, r result) {
	s.busy = false
	if s.left && r.state != ended { // who leaves behind the end does not leave early
		l.close(s, errLeft)
		return
	}
	if s.again && r.state < ended {
		s.again, r.state = false, more
	}
	l.done(s, r)
}

// done draws the consequences of a turn.
func (l *loop) done(s *held, r result) {
	if r.wrote || s.due == 0 || r.begun && r.state == full { // a client's time begins with the write, not with the silence before
		s.wrote = l.now
	}
	switch r.state {
	case ended, failed:
		l.close(s, r.err)
		return
	case more:
		s.wake()
	case full:
		s.blocked = true
		if s.src.Ended() {
			s.wake()
		}
	}
	if s.due == 0 {
		l.schedule(s)
	}
}

// close lets go of a connection; nothing of it is left behind.
func (l *loop) close(s *held, reason error) {
	switch {
	case s.closed:
		return
	case s.busy:
		s.left = true
		s.hurry()
		return
	}
	s.closed, s.backlog = true, nil
	l.unlink(s)
	s.shut()
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
	if away := now - l.now; away > longAway {
		l.start = l.start.Add(time.Duration(away-1) * tick)
		now = l.now + 1
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

// look breaks a stream's silence, and gives one up that takes nothing.
func (l *loop) look(s *held) {
	s.limitKernel()
	if s.busy && s.tls.moved() {
		s.wrote = l.now
	}
	silent, timeout := l.now-s.wrote, s.timeout()
	switch {
	case s.blocked && silent >= timeout:
		l.close(s, errTimeout)
		return
	case s.busy && silent >= timeout:
		s.hurry()
	case !s.blocked && !s.busy && silent >= ticks(s.timing.Heartbeat()):
		s.idle = true
		l.attend(s)
	}
	if !s.closed {
		l.schedule(s)
	}
}

// timeout is how long the client may take nothing, in ticks.
func (s *held) timeout() uint32 {
	if s.last {
		return ticks(min(lastChance, s.timing.WriteTimeout()))
	}
	return ticks(s.timing.WriteTimeout())
}

// schedule puts a stream into the bucket of the time at which it is looked at next.
func (l *loop) schedule(s *held) {
	timeout := s.timeout()
	wait := ticks(s.timing.Heartbeat())
	if s.blocked {
		wait = timeout
	}
	wait -= min(wait, l.now-s.wrote)
	s.due = l.now + max(1, min(wait, timeout/4+1, ticks(longestWait)))
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
