package stream

import (
	"errors"
	"sync"
	"time"
)

// loop serves some of the held connections. Only a goroutine that holds at writes to their descriptors and closes them. So if the
// kernel gives a descriptor to another client, that client never gets a byte that was meant for the one before.
//
// The poller waits on an epoll for the connections of all loops, and tells the loops which clients have left and which sockets have
// room again. Connections with TLS are written to by workers, as encrypting takes long and crypto/tls may wait.
type loop struct {
	poller *poller
	index  uint32

	// mu guards what follows.
	mu      sync.Mutex
	dirty   []*held    // streams with something to do
	events  []event    // what the poller has seen
	results []returned // the turns that workers have finished
	notices []notice   // what outlets have said
	slots   []*held    // all streams, by slot
	gens    []uint32   // how often each slot was taken or freed
	free    []uint32   // slots without a stream
	count   int        // of streams

	wake chan struct{} // signalled if one of the lists above has grown

	// at is held to attend to streams, and taken before mu. It guards what follows, and what no other lock guards of a held.
	at sync.Mutex
	wheel
	writer
}

// tell passes on an event that the poller has seen.
func (l *loop) tell(e event) {
	l.mu.Lock()
	l.events = append(l.events, e)
	l.mu.Unlock()
	l.signal()
}

// returned is a stream that a worker has finished with.
type returned struct {
	held   *held
	result result
}

// giveBack returns a stream to its loop. The worker that has finished with it calls it.
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

// enter gives a stream a slot, and returns the slot's generation.
func (l *loop) enter(s *held) (gen uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.free); n > 0 {
		s.slot = l.free[n-1]
		l.free = l.free[:n-1]
	} else {
		s.slot = uint32(len(l.slots))
		l.slots, l.gens = append(l.slots, nil), append(l.gens, 0)
	}
	l.gens[s.slot]++
	l.slots[s.slot] = s
	l.count++
	return l.gens[s.slot]
}

// leave frees a stream's slot, if it has one.
func (l *loop) leave(s *held) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count--
	if s.adopted() {
		return
	}
	l.gens[s.slot]++ // so that an event under way is ignored
	l.slots[s.slot] = nil
	l.free = append(l.free, s.slot)
}

// run is the goroutine of a loop. It never ends.
func (l *loop) run() {
	var dirty []*held
	var events []event
	var results []returned
	var notices []notice
	timer := time.NewTimer(0)
	for {
		l.mu.Lock()
		dirty, l.dirty = l.dirty, dirty[:0]
		events, l.events = l.events, events[:0]
		results, l.results = l.results, results[:0]
		notices, l.notices = l.notices, notices[:0]
		for _, s := range dirty {
			s.queued = false
		}
		count := l.count
		l.mu.Unlock()

		l.at.Lock()
		l.turn(l.look)
		for _, r := range results {
			l.takeBack(r.held, r.result)
		}
		for _, e := range events {
			l.seen(e)
		}
		for _, n := range notices {
			l.noted(n)
		}
		for _, s := range dirty {
			l.attend(s)
		}
		next := l.start.Add(time.Duration(l.now) * tick)
		l.at.Unlock()
		busy := len(dirty)+len(events)+len(results)+len(notices) > 0
		clear(dirty)
		clear(results)
		clear(notices)
		switch {
		case busy:
		case count == 0:
			<-l.wake
		default:
			timer.Reset(time.Until(next))
			select {
			case <-l.wake:
			case <-timer.C:
			}
		}
	}
}

var errLeft = errors.New("the client left")

// seen handles an event, unless its slot belongs to another stream by now.
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

// notice is what an outlet has said.
type notice struct {
	held *held
	left error // why the client has left; nil if there is room
}

// note passes on what an outlet has said.
func (l *loop) note(n notice) {
	l.mu.Lock()
	l.notices = append(l.notices, n)
	l.mu.Unlock()
	l.signal()
}

// noted handles a notice. The stream may have ended in the meantime.
func (l *loop) noted(n notice) {
	s := n.held
	switch {
	case s.closed:
	case n.left != nil:
		s.via.outlet = departed{}
		l.close(s, n.left)
	case s.blocked:
		s.blocked = false
		l.attend(s)
	}
}

// departed is the outlet of a client that has left.
type departed struct{}

func (departed) Write([]byte) (int, error) { return 0, errLeft }
func (departed) End(error)                 {}

// attend writes to a stream, or has a worker do so.
func (l *loop) attend(s *held) {
	switch {
	case s.closed:
	case s.busy:
		s.again = true
		l.hasten(s)
	case s.blocked:
		l.hasten(s)
	case s.lent():
		s.busy = true
		l.poller.workers.put(s)
	default:
		l.done(s, l.writer.run(&s.pipe))
	}
}

// hasten gives a stream whose source has ended, and whose client takes nothing, only a little more time.
func (l *loop) hasten(s *held) {
	if begun := s.due != 0; begun && !s.last && s.src.Ended() {
		s.last, s.wrote = true, l.now
		l.unlink(s)
		l.schedule(s)
	}
}

// takeBack ends a worker's turn.
func (l *loop) takeBack(s *held, r result) {
	s.busy = false
	if s.left && r.state != ended { // a client that leaves after the end does not leave early
		l.close(s, errLeft)
		return
	}
	if s.again && r.state < ended {
		s.again, r.state = false, more
	}
	l.done(s, r)
}

// done acts on the result of a turn.
func (l *loop) done(s *held, r result) {
	if r.wrote || s.due == 0 || r.begun && r.state == full { // a client's time begins with the write, not with the silence before it
		s.wrote = l.now
	}
	switch r.state {
	case ended, failed:
		l.close(s, r.err)
		return
	case more:
		s.Wake(false)
	case full:
		s.blocked = true
		if s.src.Ended() {
			s.Wake(false)
		}
	}
	if s.due == 0 {
		l.schedule(s)
	}
}

// close closes a stream and its connection. If a worker has the stream, it is closed when the worker gives it back.
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
	s.shut(reason)
	l.leave(s)
	s.src.Close(reason)
}

// look breaks a stream's silence, and gives up a client that takes nothing.
func (l *loop) look(s *held) {
	s.limitKernel()
	if s.busy && s.via.moved() {
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
		s.idle, s.wrote = true, l.now // the source may have no heartbeat
		l.attend(s)
	}
	if !s.closed {
		l.schedule(s)
	}
}
