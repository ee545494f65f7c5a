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
	s.limitKernel()
	src.OnWake(s)
	return Handle{s}, nil
}

// Handle is what an outlet tells its stream by. Its methods do not wait, and any goroutine may call them.
type Handle struct{ held *held }

// Room says that the outlet has room. The first call starts the stream.
func (h Handle) Room() { h.held.loop.note(notice{held: h.held}) }

// Left says that the client has left, which ends the stream. The outlet's End is not called.
func (h Handle) Left(reason error) { h.held.loop.note(notice{h.held, reason}) }
