package doctor

import (
	"context"
	"crypto/rand"
	"strings"
	"time"
)

const (
	// paddingEvent is the size of an event that pushes others out of a buffer.
	paddingEvent = 8 << 10
	// maxPadding is how many bytes of such events are sent at most.
	maxPadding = 512 << 10
)

// twins reports whether two streams are one, because something on the way gave the same answer to both.
func (e *examination) twins() bool {
	ids := map[string]bool{}
	for _, s := range e.public {
		h := s.look().hello()
		if h == nil {
			continue
		}
		if ids[h.Connection] {
			e.find("cached", s.name, "two streams were given the same connection id")
			e.leaveOut("probes, resuming: streams that are one cannot be told apart")
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
	var before map[string]bool
	listed := false
	if e.route != nil {
		before, listed = e.route.connections(ctx)
	}
	s := e.start(ctx, k, nil)
	defer s.leave()
	h := s.greeted(ctx, limit)
	if r := s.look(); h == nil && r.ended.IsZero() && r.bytes == 0 && e.route != nil {
		if !listed {
			e.leaveOut("whether bytes are held back on their way: the hub's connections cannot all be listed")
			return false
		}
		h = e.squeeze(ctx, s, before)
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
		e.find("cached", s.name, "a stream had ended, and the next one was given its old answer")
		return true
	}
	return false
}

// squeeze has the hub send padding on a stream that has delivered nothing yet, until the buffer in between overflows. As the
// connection's id is not known then, it must be the hub's only new connection.
func (e *examination) squeeze(ctx context.Context, s *stream, before map[string]bool) *hello {
	waited := time.Since(s.look().asked)
	ids, ok := e.route.connections(ctx)
	var id string
	fresh := 0
	for each := range ids {
		if !before[each] {
			id = each
			fresh++
		}
	}
	if !ok || fresh != 1 {
		if fresh > 1 {
			e.leaveOut("whether bytes are held back on their way: others connected at the same moment")
		}
		return nil
	}
	e.mu.Lock()
	e.held = "the hub has accepted the connection and sent its first event"
	e.mu.Unlock()
	sent := 0
	for sent < maxPadding && s.look().bytes == 0 {
		if err := e.route.publish(ctx, "connection", id, padding()); err != nil {
			return nil
		}
		sent += paddingEvent
		s.wait(ctx, probeSpacing, func(r *record) bool { return r.bytes > 0 || !r.ended.IsZero() })
	}
	h := s.greeted(ctx, e.Timeout)
	if h == nil || h.Connection != id {
		return nil
	}
	e.find("buffered", s.name, "nothing came for %s; the first bytes came when the hub had sent %d KiB more", short(waited), sent>>10)
	return h
}

// padding returns text that compression does not shorten much.
func padding() string {
	var b strings.Builder
	for b.Len() < paddingEvent {
		b.WriteString(rand.Text())
	}
	return b.String()
}
