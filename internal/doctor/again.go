package doctor

import "context"

// twins reports whether two streams are really one, because something on the way gave both the same answer.
func (e *examination) twins() bool {
	ids := map[string]bool{}
	for _, s := range e.public {
		h := s.look().hello()
		if h == nil {
			continue
		}
		if ids[h.Connection] {
			e.find("cached", s.name, "two streams were given the same connection id")
			e.leaveOut("probes, resuming: streams with the same id cannot be told apart")
			return true
		}
		ids[h.Connection] = true
	}
	return false
}

// again opens another stream, has the hub end it, and opens it once more. It reports whether a cache gave the second one the answer of the
// first.
func (e *examination) again(ctx context.Context) (cached bool) {
	k, first := e.best()
	if len(first.messages) > 0 && first.hello() == nil {
		return false // not sse_push
	}
	limit := e.Timeout
	if first.bytes == 0 {
		limit /= 5 // begin has waited already
	}
	var s *stream
	var h *hello
	if first.bytes == 0 && e.route != nil {
		if s, h = e.squeeze(ctx, k, limit); s != nil {
			defer s.leave()
		}
	} else {
		s = e.start(ctx, k, nil)
		defer s.leave()
		h = s.greeted(ctx, limit)
	}
	if h == nil {
		return false
	}
	if e.route == nil {
		e.leaveOut("whether a cache replays a stream that has ended: that needs --publish")
		return false
	}
	if c, ok, err := e.route.connection(ctx, h.Connection); err == nil && ok && c.Protocol == "HTTP/1.0" {
		e.find("upstream-http10", s.name, "the proxy in front asked the hub by HTTP/1.0")
	}
	if e.route.disconnect(ctx, h.Connection) != nil || !s.wait(ctx, e.Timeout, func(r *record) bool { return !r.ended.IsZero() }) {
		e.leaveOut("whether a cache replays a stream that has ended: its end did not come")
		return false
	}
	next := e.start(ctx, k, nil)
	defer next.leave()
	if second := next.greeted(ctx, limit); second != nil && second.Connection == h.Connection {
		e.find("cached", s.name, "a new stream was given the old answer of one that had ended")
		return true
	}
	return false
}
