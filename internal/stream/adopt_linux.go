package stream

// Adopt prepares a stream that a loop writes to an outlet. Nothing is written before the first call of the handle's Room, so that the
// outlet can be given the handle first. If Adopt fails, it has touched neither outlet nor src.
func Adopt(outlet Outlet, src Source, t *Timing) (Handle, error) { return adopt(outlet, false, src, t) }

// adopt is Adopt, for chunks of HTTP/1.1 as well.
func adopt(outlet Outlet, chunked bool, src Source, t *Timing) (Handle, error) {
	p, err := thePoller()
	if err != nil {
		return Handle{}, err
	}
	l := p.pick()
	s := &held{pipe: pipe{src: src, via: &via{outlet: outlet}, fd: -1, chunked: chunked}, loop: l, timing: t, blocked: true}
	l.mu.Lock()
	l.count++
	l.mu.Unlock()
	src.OnWake(s.wake)
	return Handle{s}, nil
}

// Handle is what an outlet tells its stream by. Its methods do not wait, and any goroutine may call them.
type Handle struct{ held *held }

// Room says that the outlet has room. The first call starts the stream.
func (h Handle) Room() { h.held.loop.note(notice{held: h.held}) }

// Left says that the client has left, which ends the stream. The outlet's End is not called.
func (h Handle) Left(reason error) { h.held.loop.note(notice{h.held, reason}) }

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
