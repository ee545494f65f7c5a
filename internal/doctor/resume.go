package doctor

import (
	"context"
	"net/http"
	"slices"
)

// resume drops a stream, publishes an event, and opens the stream again with Last-Event-ID.
func (e *examination) resume(ctx context.Context) {
	k, first := e.best()
	if first.hello() == nil {
		e.leaveOut("resuming: no first event of sse_push has come")
		return
	}
	s := e.start(ctx, k, nil)
	h := s.greeted(ctx, e.Timeout)
	s.leave()
	<-s.done
	if h == nil {
		e.leaveOut("resuming: no further stream was let in")
		return
	}
	last := s.look().lastID
	missed := e.nonce + " missed"
	target, name := e.missedTarget(h)
	if e.route != nil && e.log == "" {
		// To the connection that has ended: no stream hears it, but the log moves on.
		if target == "" {
			target, name, missed = "connection", h.Connection, ""
			e.leaveOut("whether a missed event comes: the stream has no user; give a --topic that it hears")
		}
		if err := e.route.publish(ctx, target, name, e.nonce+" missed"); err != nil {
			e.lose(ctx, err)
		}
	}
	if e.route == nil || e.log != "" {
		e.resumeBlindly(ctx, k)
		return
	}

	back := e.start(ctx, k, http.Header{"Last-Event-Id": {last}})
	defer back.leave()
	came := func(r *record) bool {
		return slices.ContainsFunc(r.messages, func(m arrival) bool { return m.Data == missed })
	}
	back.wait(ctx, e.Timeout, func(r *record) bool {
		_, gap := r.said("sse:gap")
		return came(r) || gap || missed == "" && r.hello() != nil || !r.ended.IsZero()
	})
	r := back.look()
	gap, isGap := r.said("sse:gap")
	again := r.hello()
	switch {
	case ctx.Err() != nil || came(r):
	case again == nil:
		e.leaveOut("resuming: no further stream was let in")
	case isGap:
		e.find("resume-gap", k.name, "a stream that was away for a moment got a gap: %s", gap)
	case again.id != h.id:
		e.find("resume-header", k.name, "a stream that came back with Last-Event-ID began at the newest event instead")
	case missed != "":
		e.find("resume-lost", k.name, "an event for the %s %q, published while the stream was away, did not come afterwards", target, name)
	}
}

// missedTarget returns the target of the event that is missed on purpose.
func (e *examination) missedTarget(h *hello) (target, name string) {
	switch {
	case e.Topic != "":
		return "topic", e.Topic
	case h.User != "":
		return "user", h.User
	}
	return "", ""
}

// resumeBlindly finds out without a probe whether Last-Event-ID gets through: the hub answers an id that it does not know with a gap.
func (e *examination) resumeBlindly(ctx context.Context, k kind) {
	s := e.start(ctx, k, http.Header{"Last-Event-Id": {probeEvent}})
	defer s.leave()
	isGap := s.wait(ctx, e.Timeout, func(r *record) bool { _, gap := r.said("sse:gap"); return gap })
	if r := s.look(); !isGap && ctx.Err() == nil && r.hello() != nil && r.ended.IsZero() {
		e.find("resume-header", k.name, "an unknown Last-Event-ID was not answered with a gap: it has not reached the hub")
	}
	if e.log == "" {
		e.leaveOut("whether a missed event comes: that needs --publish")
	}
}
