package doctor

import (
	"context"
	"time"
)

const (
	// ghostPoll is how often the hub is asked whether it has noticed that a client has left.
	ghostPoll = 250 * time.Millisecond
	// ghostTime is how long it may take to notice.
	ghostTime = 3 * time.Second
)

// ghost opens a stream, leaves it, and measures when the hub notices. It gives up when done is closed.
func (e *examination) ghost(ctx context.Context, route *route, done <-chan struct{}) {
	k, first := e.best()
	if route == nil || first.hello() == nil {
		e.leaveOut("when the hub notices that a client has left: that needs --publish")
		return
	}
	s := e.start(ctx, k, nil)
	h := s.greeted(ctx, e.Timeout)
	if h == nil {
		e.leaveOut("when the hub notices that a client has left: no further stream was let in")
		return
	}
	s.leave()
	<-s.done
	left := time.Now()
	tick := time.NewTicker(ghostPoll)
	defer tick.Stop()
	for last := false; ; {
		asked := time.Now()
		_, ok, err := route.connection(ctx, h.Connection)
		took := asked.Sub(left)
		switch {
		case err != nil:
			if ctx.Err() == nil {
				e.leaveOut("when the hub notices that a client has left: %v", err)
			}
			return
		case ok && last && took > ghostTime:
			e.find("ghost", k.name, "the hub still counted a client %s after it had left", short(took))
			return
		case !ok && took > ghostTime:
			e.find("ghost", k.name, "the hub counted a client that had left for %s", short(took))
			return
		case !ok || last:
			return
		}
		select {
		case <-tick.C:
		case <-done:
			last = true
		case <-ctx.Done():
			return
		}
	}
}
